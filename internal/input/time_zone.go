package input

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

//go:embed time_zones.txt
var timeZoneNames string

// TimeZones are the IANA names of the world's time zones, one a country at least, sorted.
var TimeZones = sync.OnceValue(func() []string { return strings.Fields(timeZoneNames) })

// TimeZone reads an IANA time zone.
func TimeZone(text string) (string, Problem) {
	text = strings.TrimSpace(text)
	if _, found := slices.BinarySearch(TimeZones(), text); !found {
		return "", NotTimeZone
	}
	return text, ""
}
