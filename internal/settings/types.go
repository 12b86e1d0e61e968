package settings

import (
	"net/url"
	"strconv"
	"strings"

	"postern/internal/input"
)

// maxLine bounds the settings that are a line of text.
const maxLine = 100

func text(key, standard string, read func(string) (string, input.Problem), of func(*Settings) *string) definition {
	return definition{key, standard,
		func(s *Settings, value string) input.Field {
			read, problem := read(value)
			if problem == "" {
				*of(s) = read
			}
			return input.Field{Problem: problem, Limit: maxLine}
		},
		func(s *Settings) string { return *of(s) }, Shape{Kind: Text}}
}

func choice(key, standard string, choices []string, of func(*Settings) *string) definition {
	return definition{key, standard,
		func(s *Settings, value string) input.Field {
			for _, c := range choices {
				if c == value {
					*of(s) = c
					return input.Field{}
				}
			}
			return input.Field{Problem: input.NotChoice, Choices: choices}
		},
		func(s *Settings) string { return *of(s) }, Shape{Kind: Choice, Choices: choices}}
}

func boolean(key, standard string, of func(*Settings) *bool) definition {
	return definition{key, standard,
		func(s *Settings, value string) input.Field {
			if value != "true" && value != "false" {
				return input.Field{Problem: input.NotBoolean}
			}
			*of(s) = value == "true"
			return input.Field{}
		},
		func(s *Settings) string { return strconv.FormatBool(*of(s)) }, Shape{Kind: Boolean, Choices: []string{"true", "false"}}}
}

func number(key, standard string, least, most int, of func(*Settings) *int) definition {
	return definition{key, standard,
		func(s *Settings, value string) input.Field {
			n, err := strconv.Atoi(value)
			if err != nil || n < least || n > most {
				return input.Field{Problem: input.NotNumber, Choices: []string{strconv.Itoa(least), strconv.Itoa(most)}}
			}
			*of(s) = n
			return input.Field{}
		},
		func(s *Settings) string { return strconv.Itoa(*of(s)) }, Shape{Kind: Number, Least: least, Most: most}}
}

// line reads a line of text that may not be empty.
func line(value string) (string, input.Problem) {
	value, problem := input.Text(value, maxLine)
	if value == "" && problem == "" {
		problem = input.Missing
	}
	return value, problem
}

func optional(read func(string) (string, input.Problem)) func(string) (string, input.Problem) {
	return func(value string) (string, input.Problem) {
		if strings.TrimSpace(value) == "" {
			return "", ""
		}
		return read(value)
	}
}

func webAddress(value string) (string, input.Problem) {
	value = strings.TrimSpace(value)
	u, err := url.Parse(value)
	if err != nil || len(value) > 500 || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return "", input.NotWebAddress
	}
	return u.String(), ""
}
