// Command sallyport lets Microsoft 365 and other relying parties trust an
// organisation's own Active Directory for sign-in.
//
// Each subcommand has a file of its own; all of them exit with 0 when all went
// well, 1 when something failed, and 2 when they were called wrongly. The service
// itself is package app: nothing is decided here.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"sallyport/cmd/internal/config"
)

// The exit statuses, which scripts and units rely on.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

// env is what a command sees of the outside world.
type env struct {
	stdin          *os.File
	stdout, stderr io.Writer
}

// command is one subcommand.
type command struct {
	name, synopsis, help string
	run                  func(e env, args []string) int
}

func commands() []command {
	return []command{serveCommand(), checkCommand(), signinCommand(), sessionsCommand(), certsCommand(), domainCommand(), rpCommand(), ptaCommand(), auditCommand(), versionCommand()}
}

func main() {
	if err := protectMemory(); err != nil {
		// Whoever runs it elsewhere than under the shipped unit must see to it.
		fmt.Fprintln(os.Stderr, "sallyport: secrets in memory may be written to disk after a crash:", err)
	}
	os.Exit(run(env{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:]))
}

// run finds the subcommand and runs it.
func run(e env, args []string) int {
	if len(args) == 0 {
		usage(e.stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(e.stdout)
		return exitGood
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(e, args[1:])
		}
	}
	fmt.Fprintf(e.stderr, "sallyport: there is no command %q\n\n", args[0])
	usage(e.stderr)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Sallyport: sign-in to Microsoft 365 with the accounts of your own Active Directory.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  sallyport %-9s %s\n", c.name, c.help)
	}
	fmt.Fprint(w, "\nEach command explains itself: sallyport COMMAND --help. Exit status: 0 good, 1 failed, 2 called wrongly.\n")
}

// flags returns a flag set that prints to the right stream and tells usage errors
// from --help.
func flags(e env, c command, details string) *flag.FlagSet {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // parse prints errors itself
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: sallyport %s\n\n%s\n", c.synopsis, strings.TrimSpace(details))
		fmt.Fprintln(f.Output())
		f.VisitAll(func(o *flag.Flag) {
			value, text := flag.UnquoteUsage(o)
			if o.DefValue != "" && o.DefValue != "false" {
				text += " (default " + o.DefValue + ")"
			}
			fmt.Fprintf(f.Output(), "  --%s\n        %s\n", strings.TrimSpace(o.Name+" "+strings.ToUpper(value)), text)
		})
	}
	return f
}

// parse reads the flags, which may stand before and after the arguments. done is
// true when the command ends here with the status.
func parse(e env, f *flag.FlagSet, args []string, least, most int) (rest []string, status int, done bool) {
	for {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			f.SetOutput(e.stdout)
			f.Usage()
			return nil, exitGood, true
		case err != nil:
			return nil, misused(e, f, strings.Replace(err.Error(), "flag provided but not defined: -", "there is no flag --", 1)), true
		}
		args = f.Args()
		if len(args) == 0 {
			break
		}
		rest = append(rest, args[0])
		args = args[1:]
	}
	switch {
	case len(rest) < least:
		return nil, misused(e, f, "something is missing"), true
	case len(rest) > most:
		return nil, misused(e, f, fmt.Sprintf("%q is too much", rest[most])), true
	}
	return rest, 0, false
}

// misused says what was wrong with a call and how the command is called; the long
// explanation would only push that off the screen.
func misused(e env, f *flag.FlagSet, what string) int {
	var help strings.Builder
	f.SetOutput(&help)
	f.Usage()
	synopsis, _, _ := strings.Cut(help.String(), "\n")
	fmt.Fprintf(e.stderr, "sallyport %s: %s\n%s\nsallyport %s --help explains it\n", f.Name(), what, synopsis, f.Name())
	return exitUsage
}

const defaultConfig = "/etc/sallyport/sallyport.yaml"

// loadFederation is load for what an agent alone does not have.
func loadFederation(e env, path string) (*config.Config, bool) {
	cfg, ok := load(e, path)
	if ok && cfg.AgentAlone() {
		fmt.Fprintf(e.stderr, "%s: these are the settings of a pass-through authentication agent alone, without federation; sallyport pta has its commands\n", path)
		return nil, false
	}
	return cfg, ok
}

// load reads the settings and prints what is wrong with them.
func load(e env, path string) (*config.Config, bool) {
	cfg, err := config.Load(path)
	if err != nil {
		fmt.Fprintln(e.stderr, err)
		return nil, false
	}
	return cfg, true
}
