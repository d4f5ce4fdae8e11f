package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
	refused := 0
	try := func(upn, password string) error {
		_, err := c.SignIn(ctx, strings.TrimSuffix(d.Cloud.URL(), "/"), "13", upn, password)
		if !errors.Is(err, trip.ErrRefused) || !strings.Contains(err.Error(), text) {
			return fmt.Errorf("%s: %w", upn, errors.Join(errors.New("not refused as everybody is"), err))
		}
		refused++
		return nil
	}
	errs := []error{try("bob@"+federated, "not the password"), try("nobody@"+federated, "whatever-1")}
	for _, u := range d.Users {
		if u.Data != 0 {
			errs = append(errs, try(u.UPN, u.Password))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d kinds of refusal, one fault: %s", refused, text), nil
}
