package saml

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// extra is what the answer needs to know of the request and the sign-in flow does
// not. It travels sealed with the rest of the request.
type extra struct {
	// id is the request's; empty for a sign-in that began here.
	id string
	// accepted is when the request was found good.
	accepted time.Time
	// format and class are what the answer will have; an empty class is the true one.
	format, class string
	// subject is whom the party asked for, empty for anybody.
	subject, subjectFormat string
	// detail is for the audit record; it may be empty.
	detail string
	// repeatable says that the request may be answered more than once. It does not
	// travel.
	repeatable bool
}

// separator cannot stand in any of the values: no XML carries it.
const separator = "\x00"

var errExtra = errors.New("saml: the request's own part cannot be read")

func (x *extra) encode() string {
	f := []string{x.id, strconv.FormatInt(x.accepted.Unix(), 36), x.format, x.class, x.subject, x.subjectFormat}
	if x.detail != "" {
		f = append(f, x.detail)
	}
	return strings.Join(f, separator)
}

func parseExtra(s string) (*extra, error) {
	f := strings.Split(s, separator)
	if len(f) == 6 {
		f = append(f, "")
	}
	if len(f) != 7 {
		return nil, errExtra
	}
	at, err := strconv.ParseInt(f[1], 36, 64)
	if err != nil {
		return nil, errExtra
	}
	return &extra{id: f[0], accepted: time.Unix(at, 0), format: f[2], class: f[3], subject: f[4], subjectFormat: f[5], detail: f[6]}, nil
}
