package partner

import "time"

// Duration reads an xs:duration.
func Duration(s string) (time.Duration, error) { return duration(s) }

// Public refuses addresses that are not of the internet.
func Public(address string) error { return public("tcp", address, nil) }

// Keeper is that of the query.
func (q *Query) Keeper() *Keeper { return q.cfg.Keeper }
