package password

import (
	"context"
	"unicode"
	"unicode/utf8"
)

// Rule names a requirement, as pages and tests know it.
type Rule string

const (
	RuleLength   Rule = "length"
	RuleUpper    Rule = "upper"
	RuleLower    Rule = "lower"
	RuleDigit    Rule = "digit"
	RuleSpecial  Rule = "special"
	RuleStrength Rule = "strength"
	RulePersonal Rule = "personal" // words of the user, the organization and the portal
	RuleCommon   Rule = "common"
	RuleBreached Rule = "breached"
	RuleMatch    Rule = "match" // the confirmation is the same
)

// BreachMode says against what a new password is compared.
type BreachMode string

const (
	BreachOff    BreachMode = "off"
	BreachLocal  BreachMode = "local"  // a file on this machine
	BreachOnline BreachMode = "online" // by k-anonymity, when it is submitted
)

// Policy is what a new password must be.
type Policy struct {
	MinLength                    int // code points
	Upper, Lower, Digit, Special bool
	MinStrength                  int // 0 to 4, the estimator's score; 0 switches the rule off
	Breach                       BreachMode
}

// Choice is what somebody wants as a new password.
type Choice struct {
	Password string
	// Confirm is the repetition; nil where none was given.
	Confirm *string
	// Words are what the password must not hold: Words builds them.
	Words []string
}

// Requirement is one line of the list beside the field.
type Requirement struct {
	Rule Rule
	Met  bool
}

// Report is the judgement on a choice. It is the same while typing and on submit.
type Report struct {
	Requirements []Requirement
	Score        int // 0 to 4
	Advice       Advice
	// TooLong is set for what is outside the bounds and was not judged further.
	TooLong bool
}

// Accepted says whether every requirement is met.
func (r Report) Accepted() bool {
	for _, requirement := range r.Requirements {
		if !requirement.Met {
			return false
		}
	}
	return !r.TooLong
}

// Judge compares choices with policies.
type Judge struct {
	estimator estimator
	// Breaches answers for BreachLocal and BreachOnline.
	Breaches Breaches
}

// NewJudge returns a judge that estimates that many passwords at once.
func NewJudge(processors int, breaches Breaches) *Judge {
	return &Judge{estimator: newEstimator(processors), Breaches: breaches}
}

// Look judges a choice while it is typed: nothing leaves the machine. ErrBusy means that
// too many are being judged.
func (j *Judge) Look(ctx context.Context, p Policy, c Choice) (Report, error) {
	return j.judge(ctx, p, c, p.Breach == BreachLocal)
}

// Check judges a choice that was submitted, with everything that the policy asks for.
func (j *Judge) Check(ctx context.Context, p Policy, c Choice) (Report, error) {
	return j.judge(ctx, p, c, p.Breach == BreachLocal || p.Breach == BreachOnline)
}

func (j *Judge) judge(ctx context.Context, p Policy, c Choice, breaches bool) (Report, error) {
	report := Report{}
	typed, err := Normalize(c.Password)
	if err != nil {
		typed, report.TooLong = "", true
	}
	estimate, err := j.estimator.estimate(ctx, typed, c.Words)
	if err != nil {
		return Report{}, err
	}
	report.Score, report.Advice = estimate.score, estimate.advice

	add := func(rule Rule, asked, met bool) {
		if asked {
			report.Requirements = append(report.Requirements, Requirement{rule, met && typed != ""})
		}
	}
	add(RuleLength, true, utf8.RuneCountInString(typed) >= p.MinLength)
	add(RuleUpper, p.Upper, contains(typed, unicode.IsUpper))
	add(RuleLower, p.Lower, contains(typed, unicode.IsLower))
	add(RuleDigit, p.Digit, contains(typed, unicode.IsDigit))
	add(RuleSpecial, p.Special, contains(typed, special))
	add(RuleStrength, p.MinStrength > 0, report.Score >= p.MinStrength)
	add(RulePersonal, true, !personal(typed, c.Words))
	add(RuleCommon, true, !common(typed))
	if breaches {
		met := typed == "" || !j.Breaches.Contain(ctx, p.Breach, typed)
		add(RuleBreached, true, met)
	}
	if c.Confirm != nil {
		confirm, err := Normalize(*c.Confirm)
		add(RuleMatch, true, err == nil && confirm == typed)
	}
	return report, nil
}

func contains(s string, is func(rune) bool) bool {
	for _, r := range s {
		if is(r) {
			return true
		}
	}
	return false
}

// special is every character that is neither a letter nor a digit; a blank counts.
func special(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}
