package views

import "strings"

// Device puts what a browser calls itself into words: "Firefox on Windows". It is what the
// browser claims, shown to jog a memory and never used to decide anything.
func Device(userAgent string) string {
	browser := firstIn(userAgent, []deviceLabel{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}})
	system := firstIn(userAgent, []deviceLabel{{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "an iPhone"}, {"iPad", "an iPad"},
		{"Mac OS X", "a Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}})
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case browser != "":
		return browser
	}
	return system
}

type deviceLabel struct{ part, name string }

func firstIn(text string, labels []deviceLabel) string {
	for _, l := range labels {
		if strings.Contains(text, l.part) {
			return l.name
		}
	}
	return ""
}
