package saml_test

import (
	"context"
	"errors"
	"time"
)

// downStore is a shared store that does not answer.
type downStore struct{}

func (downStore) Once(context.Context, string, string, time.Duration) (bool, error) {
	return false, errors.New("the store does not answer")
}

func (downStore) Seen(context.Context, string, string) (bool, error) {
	return false, errors.New("the store does not answer")
}
