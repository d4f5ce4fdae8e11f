package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// firstFault returns the first error of a round trip that is a fault of Redis or
// of the way to it. Absence and a value of another type are answers. When one
// command spoils a transaction, its error is returned and not the EXECABORT that
// all others get.
func firstFault(cmds []redis.Cmder, err error) error {
	if err != nil && isAnswer(err) {
		err = nil
	}
	for _, c := range cmds {
		e := c.Err()
		switch {
		case e == nil || isAnswer(e):
		case redis.HasErrorPrefix(e, "EXECABORT"):
			err = e
		default:
			return e
		}
	}
	return err
}

// impatient reports that a call ended because its caller's time was up, which says
// nothing about Redis. A read that meets the deadline may report it a moment
// before the context does.
func impatient(ctx context.Context, own time.Time) bool {
	if ctx.Err() != nil {
		return true
	}
	d, ok := ctx.Deadline()
	return ok && d.Before(own) && time.Until(d) < 10*time.Millisecond
}

func isAnswer(err error) bool {
	return errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE")
}

// lasting reports errors that the next call will meet as well.
func lasting(err error) bool {
	for _, p := range []string{"NOPERM", "NOAUTH", "WRONGPASS", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "OOM", "MISCONF", "EXECABORT"} {
		if redis.HasErrorPrefix(err, p) {
			return true
		}
	}
	return strings.Contains(err.Error(), "connection refused")
}

// libraryLog takes go-redis's own log lines, which would otherwise go to standard
// error past the process's log. They repeat what this package reports.
type libraryLog struct{ log *slog.Logger }

// Printf implements go-redis's logger.
func (l libraryLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis library", "text", fmt.Sprintf(format, v...))
}
