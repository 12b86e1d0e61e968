package main

type doctorCommand struct {
	JSON        bool `name:"json" help:"One JSON array."`
	AcceptClock bool `help:"Take the present time for right, whatever was seen before."`
}

// Run is written below.
func (c doctorCommand) Run(p *program) error { return nil }
