// Command msal signs in with Microsoft's own library by user name and password.
// It is a module of its own, so that the product does not depend on the library.
//
// It reads {"cloud", "ca", "user", "password"} as JSON on standard input and
// prints {"user"} or {"error"}. Requests for login.microsoftonline.com go to the
// cloud's stand-in; everything else goes where the library wants it to go.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

type job struct {
	Cloud, CA, User, Password string
}

// client sends what is meant for Microsoft to the stand-in.
type client struct {
	*http.Client
	cloud *url.URL
}

func (c client) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "login.microsoftonline.com" {
		r.URL.Scheme, r.URL.Host, r.Host = c.cloud.Scheme, c.cloud.Host, c.cloud.Host
	}
	return c.Client.Do(r)
}

func signIn(ctx context.Context, j job) (string, error) {
	pem, err := os.ReadFile(j.CA)
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return "", errors.New("no certificate in " + j.CA)
	}
	cloud, err := url.Parse(j.Cloud)
	if err != nil {
		return "", err
	}
	c := client{&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, cloud}
	app, err := public.New("00000000-1111-2222-3333-444444444444", public.WithAuthority("https://login.microsoftonline.com/organizations"),
		public.WithInstanceDiscovery(false), public.WithHTTPClient(c))
	if err != nil {
		return "", err
	}
	got, err := app.AcquireTokenByUsernamePassword(ctx, []string{"User.Read"}, j.User, j.Password)
	if err != nil {
		return "", err
	}
	return got.Account.PreferredUsername, nil
}

func main() {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer := map[string]string{}
	user, err := signIn(ctx, j)
	if err != nil {
		answer["error"] = err.Error()
	} else {
		answer["user"] = user
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}
