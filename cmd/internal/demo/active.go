package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"sallyport/cmd/internal/trip"
)

// checkActive signs in without a browser, in both editions of WS-Trust.
func (d *Demo) checkActive(ctx context.Context) (string, error) {
	c := trip.NewActive(d.authority.pool())
	defer c.Close()
	u := d.Users[0]
	for _, edition := range []string{"2005", "13"} {
		name, err := c.SignIn(ctx, strings.TrimSuffix(d.Cloud.URL(), "/"), edition, u.UPN, u.Password)
		if err != nil {
			return "", fmt.Errorf("WS-Trust %s: %w", edition, err)
		}
		if name != u.UPN {
			return "", fmt.Errorf("WS-Trust %s: signed in as %q", edition, name)
		}
	}
	return "signed in as " + u.UPN + " through user realm, MEX, WS-Trust 2005 and 1.3", nil
}

// checkActiveRefusals makes sure that all refusals are one.
func (d *Demo) checkActiveRefusals(ctx context.Context) (string, error) {
	c := trip.NewActive(d.authority.pool())
	defer c.Close()
	const text = "ID3242: The security token could not be authenticated or authorized."
	refused, err := d.refusals("bob", func(upn, password string) error {
		_, err := c.SignIn(ctx, strings.TrimSuffix(d.Cloud.URL(), "/"), "13", upn, password)
		if !errors.Is(err, trip.ErrRefused) || !strings.Contains(err.Error(), text) {
			return errors.Join(errors.New("not refused as everybody is"), err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d kinds of refusal, one fault: %s", refused, text), nil
}

// refusals tries, side by side, what an active client must be refused: a wrong
// password of the account named, an account that is not there, and every account
// that the directory turns down. It returns how many there were.
func (d *Demo) refusals(wrong string, try func(upn, password string) error) (int, error) {
	var all sync.WaitGroup
	tries := [][2]string{{wrong + "@" + federated, "not the password"}, {"nobody@" + federated, "whatever-1"}}
	for _, u := range d.Users {
		if u.Data != 0 {
			tries = append(tries, [2]string{u.UPN, u.Password})
		}
	}
	errs := make([]error, len(tries))
	for i, t := range tries {
		all.Go(func() {
			if err := try(t[0], t[1]); err != nil {
				errs[i] = fmt.Errorf("%s: %w", t[0], err)
			}
		})
	}
	all.Wait()
	return len(tries), errors.Join(errs...)
}
