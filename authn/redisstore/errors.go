package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/redis/go-redis/v9"
)

// firstFault returns the first error of a round trip that is a fault of Redis or
// of the way to it. Absence and a value of another type are answers.
func firstFault(cmds []redis.Cmder, err error) error {
	for _, c := range cmds {
		if e := c.Err(); e != nil && !isAnswer(e) {
			return e
		}
	}
	if err != nil && !isAnswer(err) {
		return err
	}
	return nil
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
