package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/ptaagent"
)

func ptaRegister(e env, cfg *config.Config, o ptaFlags) error {
	if cfg.PTA.StateDir == "" {
		return errors.New("pta.state_dir is not set: name the directory for key and certificate there")
	}
	network, err := app.PTANetwork(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	keys, err := app.PTAKeys(cfg)
	if err != nil {
		return err
	}
	r := ptaagent.Registration{Tenant: o.tenant, Dir: cfg.PTA.StateDir, Keys: keys, Cloud: app.PTACloud(cfg), Network: network}
	if err := r.Check(); err != nil { // before a person signs in for nothing
		return err
	}
	if r.Token, err = ptaToken(ctx, e, r, o); err != nil {
		return err
	}
	id, err := ptaagent.Register(ctx, r)
	if err != nil {
		return err
	}
	stored := "mode 0700, files 0600"
	if m := cfg.PTA.PKCS11; m.On() {
		stored = fmt.Sprintf("the private key in token %q of %s", m.Token, m.ModuleFile)
	}
	fmt.Fprintf(e.stdout, `
registered  agent %s
tenant      %s
certificate %s, holds until %s, renewed by itself before
stored in   %s (%s)

To see it: Entra admin centre, Entra Connect, Connect Sync, Pass-through
authentication. The agent is listed there with this host's name, and becomes
active once the service runs with pta.enabled: true (sallyport pta status).
`, id.Agent(), id.Tenant(), id.Thumbprint(), id.NotAfter().UTC().Format(time.DateOnly), cfg.PTA.StateDir, stored)
	return nil
}

// ptaToken gets an administrator's access token in the way that was chosen.
func ptaToken(ctx context.Context, e env, r ptaagent.Registration, o ptaFlags) (string, error) {
	switch {
	case o.token != "":
		return ptaagent.ReadToken(o.token)
	case o.device:
		return ptaagent.DeviceSignIn(ctx, r.Cloud, r.Network, r.Tenant, func(page, code string) {
			fmt.Fprintf(e.stdout, "On any device open\n\n%s\n\nand sign in as Hybrid Identity Administrator with the code\n\n%s\n\n", page, code)
		})
	case o.loopback:
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		signIn, err := ptaagent.NewLoopbackSignIn(r.Cloud, r.Tenant, l)
		if err != nil {
			return "", errors.Join(err, l.Close())
		}
		tellAddress(e, signIn)
		address, err := signIn.Wait(ctx, l)
		if err != nil {
			return "", err
		}
		return signIn.Redeem(ctx, r.Network, address)
	}
	signIn := ptaagent.NewAdminSignIn(r.Cloud, r.Tenant)
	tellAddress(e, signIn)
	fmt.Fprint(e.stdout, "An empty page follows. Paste its address, the whole of it, here:\n")
	line, err := bufio.NewReader(io.LimitReader(e.stdin, 64<<10)).ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("no address was pasted: %w", err)
	}
	return signIn.Redeem(ctx, r.Network, strings.TrimSpace(line))
}

func tellAddress(e env, s *ptaagent.AdminSignIn) {
	fmt.Fprintf(e.stdout, "Open this address in a browser and sign in as Hybrid Identity Administrator:\n\n%s\n\n", s.Address)
}
