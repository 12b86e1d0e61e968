package password

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// containedFrom is the length from which a word may not even be a part of the password;
// shorter ones may not be all of it.
const containedFrom = 4

// Words takes names and phrases apart into what a password must not hold: each word, and
// all of them run together.
func Words(phrases ...string) []string {
	var words []string
	for _, phrase := range phrases {
		parts := strings.FieldsFunc(fold(phrase), separates)
		words = append(words, parts...)
		if len(parts) > 1 {
			words = append(words, strings.Join(parts, ""))
		}
	}
	return words
}

// AddressWords takes an e-mail address apart: the words of its local part and the labels
// of its domain, without the last one, which says nothing about anybody.
func AddressWords(address string) []string {
	local, domain, _ := strings.Cut(address, "@")
	return append(Words(local), HostWords(domain)...)
}

// HostWords gives the labels of a host name, without the last one where there are several.
func HostWords(host string) []string {
	if dot := strings.LastIndexByte(host, '.'); dot >= 0 {
		host = host[:dot]
	}
	return Words(host)
}

func fold(s string) string { return strings.ToLower(norm.NFC.String(s)) }

func separates(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }

// personal says whether the password holds one of the words, case and separators ignored.
func personal(password string, words []string) bool {
	bare := strings.Join(strings.FieldsFunc(fold(password), separates), "")
	for _, word := range words {
		if bare == word || utf8.RuneCountInString(word) >= containedFrom && strings.Contains(bare, word) {
			return true
		}
	}
	return false
}
