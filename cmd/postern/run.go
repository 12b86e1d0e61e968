package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"postern/internal/config"
	"postern/internal/input"
	"postern/views"
)

// commands is what can be said on the command line.
type commands struct {
	config.Flags

	Serve        serveCommand        `cmd:"" help:"Run the portal. The first start makes the data folder, the key and the database, and prints a set-up link."`
	User         userCommands        `cmd:"" help:"Look after users."`
	Organization organizationCommand `cmd:"" help:"Look after organizations."`
	Settings     settingsCommands    `cmd:"" help:"Show and change the settings."`
	Audit        auditCommands       `cmd:"" help:"Check and export the audit trail."`
	Import       importCommand       `cmd:"" help:"Make users and organizations from a CSV file, all or nothing."`
	Doctor       doctorCommand       `cmd:"" help:"Check the address, the proxy, the clock, the database, the key, file modes, the audit trail, the mail queue and the mail server."`
	Migrate      migrateCommand      `cmd:"" help:"Bring the database up to date."`
	Version      versionCommand      `cmd:"" help:"Say which version this is."`
}

// program is what every command works with.
type program struct {
	flags  config.Flags
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// run is the whole program. What it returns is printed for the operator.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	var said commands
	exited := false
	parser, err := kong.New(&said,
		kong.Name("postern"),
		kong.Description("A customer portal: sign-in, the way back in, the own account, and the administration."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
		kong.Resolvers(environment(getenv)),
		kong.ValueFormatter(helpWithVariable),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited {
		return nil // help was asked for and printed
	}
	if err != nil {
		return err
	}
	return explained(parsed.Run(&program{flags: said.Flags, stdin: stdin, stdout: stdout, stderr: stderr}))
}

// variable is the environment variable that stands for a flag.
func variable(flag string) string {
	return "POSTERN_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environment reads a flag that was not given from its variable. The flags of commands
// have none.
func environment(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if flag.Group == nil || flag.Group.Key != config.Group {
			return nil, nil //nolint:nilnil // kong's word for "not known here"
		}
		value := getenv(variable(flag.Name))
		if value == "" {
			return nil, nil //nolint:nilnil
		}
		return value, nil
	})
}

func helpWithVariable(value *kong.Value) string {
	if value.Flag == nil || value.Flag.Group == nil || value.Flag.Group.Key != config.Group {
		return kong.DefaultHelpValueFormatter(value)
	}
	return kong.DefaultHelpValueFormatter(value) + " ($" + variable(value.Name) + ")"
}

// explained turns refused input into the sentences that the pages have for it.
func explained(err error) error {
	refused, ok := errors.AsType[*input.Error](err)
	if !ok {
		return err
	}
	return errors.New(strings.Join(problemLines(refused.Fields), "\n"))
}

// problemLines puts what is wrong into words.
func problemLines(fields []input.Field) []string {
	lines := make([]string, len(fields))
	for i, field := range fields {
		lines[i] = views.FieldText(field.Name, string(field.Problem), field.Limit, field.Choices)
	}
	return lines
}

// logger writes to standard error, as text for people or as JSON for programs.
func (p *program) logger(format string) *slog.Logger {
	if format == "" {
		format = "json"
		if isTerminal(p.stderr) {
			format = "text"
		}
	}
	options := &slog.HandlerOptions{ReplaceAttr: utc}
	if format == "text" {
		return slog.New(slog.NewTextHandler(p.stderr, options))
	}
	return slog.New(slog.NewJSONHandler(p.stderr, options))
}

// utc gives every time in a log in UTC.
func utc(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// toTerminal says whether a person reads the output.
func (p *program) toTerminal() bool { return isTerminal(p.stdout) }

func (p *program) println(parts ...any) {
	fmt.Fprintln(p.stdout, parts...)
}
