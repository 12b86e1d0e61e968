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

// untilSignal returns a context that ends with the first signal to stop. The next one ends
// the program at once, however close behind it comes.
func untilSignal() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(1)
	}()
	return ctx
}

func main() {
	// What this program writes is for its owner alone, also what a library creates.
	syscall.Umask(0o077)
	ctx := untilSignal()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "postern:", err)
		os.Exit(1)
	}
}
