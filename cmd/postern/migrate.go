package main

import (
	"context"
	"errors"
)

type migrateCommand struct{}

// Run brings the database up to date, which serve does by itself. It refuses beside a
// running serve.
func (migrateCommand) Run(ctx context.Context, p *program) error {
	portal, err := p.open(ctx, opening{create: true, lock: true})
	if err != nil {
		return err
	}
	return errors.Join(p.say(nil, "The database is up to date."), portal.close())
}
