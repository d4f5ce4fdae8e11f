// Command sallyport-demo shows the whole trip on one machine with nothing else
// installed: a stand-in of Microsoft 365, the gateway, and a stand-in of Active
// Directory, on loopback only, with keys and passwords made for this run.
//
//	go run ./cmd/sallyport-demo          serve until interrupted
//	go run ./cmd/sallyport-demo --check  make the trip for every kind of user, exit 0 or 1
//
// Nothing here is part of the product's binary.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"sallyport/cmd/internal/demo"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("sallyport-demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	check := flags.Bool("check", false, "make the whole trip for every kind of user, print a line for each, exit 0 or 1")
	port := flags.Int("port", 8443, "first of four ports on 127.0.0.1; free ones are taken where these are in use")
	verbose := flags.Bool("v", false, "print the gateway's log records")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "sallyport-demo: unknown argument %q\n", flags.Arg(0))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logs := io.Discard
	if *verbose {
		logs = stderr
	}
	d, err := demo.Start(ctx, demo.Options{Port: *port, Log: logs, Progress: stdout})
	if err != nil {
		fmt.Fprintf(stderr, "sallyport-demo: %v\n", err)
		return 1
	}
	defer d.Close()
	if *check {
		if !d.Check(ctx, stdout) {
			return 1
		}
		return 0
	}
	d.Welcome(stdout)
	select {
	case <-ctx.Done():
		fmt.Fprintln(stdout, "\nStopping.")
		return 0
	case err := <-d.Gateway.Served():
		fmt.Fprintf(stderr, "sallyport-demo: the gateway ended: %v\n", err)
		return 1
	}
}
