// Command postern is the customer portal: the program that serves it, and the commands with
// which its operator looks after it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // so that an image without files knows the time zones

	_ "golang.org/x/crypto/x509roots/fallback" // and whom to trust
)

func main() {
	// What this program writes is for its owner alone, also what a library creates.
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the next one ends the program at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "postern:", err)
		os.Exit(1)
	}
}
