package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"postern/internal/settings"
)

type settingsCommands struct {
	List settingsList `cmd:"" help:"Show all settings."`
	Get  settingsGet  `cmd:"" help:"Show a setting."`
	Set  settingsSet  `cmd:"" help:"Change a setting; a running portal follows within a second."`
}

// withSettings opens the portal and reads the settings.
func withSettings(ctx context.Context, p *program, use func(*settings.Settings) error) error {
	portal, err := p.open(ctx, opening{})
	if err != nil {
		return err
	}
	current, err := portal.settings.Current(ctx)
	if err == nil {
		err = use(current)
	}
	return errors.Join(err, portal.close())
}

type settingsList struct {
	JSON bool `name:"json" help:"One JSON object."`
}

func (c settingsList) Run(ctx context.Context, p *program) error {
	return withSettings(ctx, p, func(current *settings.Settings) error {
		if c.JSON {
			values := map[string]string{}
			for _, key := range settings.Keys() {
				values[key], _ = current.Get(key)
			}
			return p.printJSON(values)
		}
		table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		for _, key := range settings.Keys() {
			value, _ := current.Get(key)
			fmt.Fprintf(table, "%s\t%s\n", key, value)
		}
		return table.Flush()
	})
}

type settingsGet struct {
	Key string `arg:"" placeholder:"KEY"`
}

func (c settingsGet) Run(ctx context.Context, p *program) error {
	return withSettings(ctx, p, func(current *settings.Settings) error {
		value, ok := current.Get(c.Key)
		if !ok {
			return fmt.Errorf("there is no setting %s: see postern settings list", c.Key)
		}
		p.println(value)
		return nil
	})
}

type settingsSet struct {
	Key   string `arg:"" placeholder:"KEY"`
	Value string `arg:"" placeholder:"VALUE"`
}

func (c settingsSet) Run(ctx context.Context, p *program) error {
	portal, err := p.open(ctx, opening{create: true})
	if err != nil {
		return err
	}
	changes, err := portal.directory.ChangeSettings(ctx, operator, map[string]string{c.Key: c.Value})
	for _, change := range changes {
		p.println(change.Key, "is now", change.New)
	}
	if err == nil && len(changes) == 0 {
		p.println("Nothing changed.")
	}
	return errors.Join(err, portal.close())
}
