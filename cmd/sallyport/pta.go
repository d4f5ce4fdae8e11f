package main

import (
	"errors"
	"fmt"

	"sallyport/cmd/internal/config"
)

// ptaFlags are the flags of all actions.
type ptaFlags struct {
	config, tenant, token, request string
	loopback, device               bool
}

func ptaCommand() command {
	c := command{name: "pta", synopsis: "pta register|status|agents --config F", help: "the pass-through authentication agent"}
	c.run = func(e env, args []string) int {
		var o ptaFlags
		f := flags(e, c, `register   signs an administrator (Hybrid Identity Administrator) in, registers this
           host as an agent of the tenant, and stores key and certificate in
           pta.state_dir. It prints an address for a browser, on any machine, and
           asks for the address of the empty page that follows. The sign-in uses
           the public client id of Microsoft's own agent; Microsoft publishes no
           interface for agents of others.
status     asks the running service: links, requests and their times, certificate,
           what the cloud last told. --request ID shows why one sign-in ended as
           it did, and the time of its steps: ID is the correlation id that
           Microsoft's sign-in log shows.
agents     signs in as register does, lists the tenant's agents, and compares them
           with pta.agents and pta.agent_networks: exit status 1 when one is there
           that should not be.`)
		f.StringVar(&o.config, "config", defaultConfig, "the settings `file`")
		f.StringVar(&o.tenant, "tenant", "", "register, agents: the tenant's id, a `GUID` (agents: that of the registered agent)")
		f.StringVar(&o.token, "token-file", "", "register, agents: a `file` (0600) that holds an access token, instead of a sign-in")
		f.BoolVar(&o.loopback, "loopback", false, "the browser runs on this machine and comes back to it by itself (never tried with Microsoft)")
		f.BoolVar(&o.device, "device-code", false, "sign in with a code on another device (never tried with Microsoft)")
		f.StringVar(&o.request, "request", "", "status: the correlation `ID` of one sign-in")
		rest, status, done := parse(e, f, args, 1, 1)
		if done {
			return status
		}
		action, err := ptaAction(rest[0], o)
		if err != nil {
			fmt.Fprintln(e.stderr, "sallyport pta:", err)
			return exitUsage
		}
		cfg, ok := load(e, o.config)
		if !ok {
			return exitFailed
		}
		if err := action(e, cfg); err != nil {
			fmt.Fprintln(e.stderr, "sallyport pta:", err)
			return exitFailed
		}
		return exitGood
	}
	return c
}

// ptaAction picks what to do, or says how the command is called.
func ptaAction(name string, o ptaFlags) (func(env, *config.Config) error, error) {
	ways := count(o.token != "", o.loopback, o.device)
	switch {
	case name != "register" && name != "status" && name != "agents":
		return nil, fmt.Errorf("there is no %q, only register, status and agents", name)
	case name == "status" && (o.tenant != "" || ways > 0):
		return nil, errors.New("status takes --config and --request only")
	case name == "status":
		return func(e env, cfg *config.Config) error { return ptaStatus(e, cfg, o.request) }, nil
	case o.request != "":
		return nil, fmt.Errorf("%s does not take --request", name)
	case o.tenant == "" && name == "register":
		return nil, errors.New("--tenant is missing: the portal shows the tenant id, a GUID, on the overview page")
	case ways > 1:
		return nil, errors.New("choose one of --token-file, --loopback and --device-code")
	}
	if name == "agents" {
		return func(e env, cfg *config.Config) error { return ptaAgents(e, cfg, o) }, nil
	}
	return func(e env, cfg *config.Config) error { return ptaRegister(e, cfg, o) }, nil
}

// count returns how many of the conditions hold.
func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}
