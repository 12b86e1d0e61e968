package password

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/trustelem/zxcvbn"
	"github.com/trustelem/zxcvbn/frequency"
	"github.com/trustelem/zxcvbn/match"
)

// Advice says what would help most; pages have the sentence for it.
type Advice string

const (
	AdviceNone     Advice = ""
	AdviceMore     Advice = "more"     // add another word or two
	AdviceTop      Advice = "top"      // among the most common passwords
	AdviceCommon   Advice = "common"   // a common password
	AdviceSimilar  Advice = "similar"  // like a common password, with the usual changes
	AdviceWord     Advice = "word"     // a single word
	AdviceName     Advice = "name"     // a name
	AdvicePersonal Advice = "personal" // the user's own words
	AdviceKeyboard Advice = "keyboard" // neighbouring keys
	AdviceRepeat   Advice = "repeat"   // the same again and again
	AdviceSequence Advice = "sequence" // abc, 6543
	AdviceYear     Advice = "year"     // a recent year
	AdviceDate     Advice = "date"     // a date
)

const (
	goodEnough   = 3           // no advice from this score on
	estimated    = 32          // code points: 256 would take seconds, 32 at most 40 ms
	estimateWait = time.Second // for a free processor
	maxWords     = 50          // of the user, handed to the estimator
)

type estimate struct {
	score  int
	advice Advice
}

// estimator bounds how many estimates are made at once.
type estimator struct{ places chan struct{} }

func newEstimator(processors int) estimator {
	return estimator{make(chan struct{}, max(1, processors))}
}

// estimate scores the first 32 code points of a password. What follows them could only add
// strength, so a long password is never overrated.
func (e estimator) estimate(ctx context.Context, password string, words []string) (estimate, error) {
	if password == "" {
		return estimate{advice: AdviceNone}, nil
	}
	timeout := time.NewTimer(estimateWait)
	defer timeout.Stop()
	select {
	case e.places <- struct{}{}:
		defer func() { <-e.places }()
	case <-timeout.C:
		return estimate{}, ErrBusy
	case <-ctx.Done():
		return estimate{}, ctx.Err()
	}
	head := []rune(password)
	result := zxcvbn.PasswordStrength(string(head[:min(len(head), estimated)]), words[:min(len(words), maxWords)])
	return estimate{result.Score, advice(result)}, nil
}

// advice looks at the longest part that the estimator recognised.
func advice(result zxcvbn.Result) Advice {
	if result.Score >= goodEnough || len(result.Sequence) == 0 {
		return AdviceNone
	}
	longest := result.Sequence[0]
	for _, m := range result.Sequence[1:] {
		if len(m.Token) > len(longest.Token) {
			longest = m
		}
	}
	switch longest.Pattern {
	case "dictionary":
		return dictionaryAdvice(longest, len(result.Sequence) == 1)
	case "spatial":
		return AdviceKeyboard
	case "repeat":
		return AdviceRepeat
	case "sequence":
		return AdviceSequence
	case "regex":
		return AdviceYear
	case "date":
		return AdviceDate
	}
	return AdviceMore
}

func dictionaryAdvice(m *match.Match, alone bool) Advice {
	switch m.DictionaryName {
	case "passwords":
		switch {
		case alone && !m.L33t && !m.Reversed && m.Rank <= 100:
			return AdviceTop
		case alone && !m.L33t && !m.Reversed:
			return AdviceCommon
		}
		return AdviceSimilar
	case "user_inputs":
		return AdvicePersonal
	case "surnames", "male_names", "female_names":
		return AdviceName
	}
	if alone {
		return AdviceWord
	}
	return AdviceMore
}

// commonPasswords is the estimator's whole list.
var commonPasswords = sync.OnceValue(func() map[string]bool {
	list := frequency.FrequencyLists["passwords"]
	set := make(map[string]bool, len(list))
	for _, password := range list {
		set[password] = true
	}
	return set
})

// common says whether the whole password stands in the list, in capitals or not.
func common(password string) bool { return commonPasswords()[strings.ToLower(password)] }
