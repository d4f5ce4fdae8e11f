package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Finding is one result of the self-test.
type Finding struct {
	// Step is what was tried, for example "command GETEX".
	Step string
	// Problem is empty when all is well.
	Problem string
	// Advice says what to do about the problem.
	Advice string
	// Fatal findings keep the store from working; the others are dangers.
	Fatal bool
}

// trial is one command on a key of the self-test's own.
type trial struct {
	command string
	args    []any
}

// trials returns a call of each needed command. The key has the form of a
// session's, so that a key pattern that is too narrow shows.
func trials(prefix string) (key string, all []trial) {
	key = prefix + "probe:{" + rand.Text() + "}"
	list := key + "l"
	return key, []trial{
		{"PING", nil},
		{"SET", []any{key, "1", "PX", 10_000}},
		{"GET", []any{key}},
		{"GETEX", []any{key, "PX", 10_000}},
		{"RPUSH", []any{list, "1"}},
		{"PEXPIRE", []any{list, 10_000}},
		{"LREM", []any{list, 0, "2"}},
		{"LPUSHX", []any{list, "2"}},
		{"LTRIM", []any{list, 0, 1}},
		{"LRANGE", []any{list, 0, 1}},
		{"DEL", []any{list}},
		{"DEL", []any{key}},
	}
}

// documentTrials are calls of what documents need besides, each on a connection that
// nothing else is done with.
func documentTrials(key string) []trial {
	return []trial{{"WATCH", []any{key}}, {"UNWATCH", nil}}
}

// forbidden are commands that a gateway's user must not have, in forms that do
// nothing even if they are carried out: FLUSHALL knows no such option, CONFIG no
// such parameter, and KEYS is asked only inside a transaction that is never run.
var forbidden = []trial{
	{"FLUSHALL", []any{"sallyport-self-test"}},
	{"FLUSHDB", []any{"sallyport-self-test"}},
	{"CONFIG", []any{"GET", "sallyport-self-test"}},
	{"CONFIG", []any{"SET", "sallyport-self-test", "1"}},
	{"KEYS", []any{"sallyport-self-test"}},
}

// SelfTest tries every command that the store needs, and whether the user has
// ones that it must not have. It changes nothing but keys of its own, which
// expire. It asks Redis even while the store is down, over a connection of its own
// and with more patience than a sign-in has.
func (s *Store) SelfTest(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	patient := s.cfg
	patient.Timeout, patient.PoolSize = max(patient.Timeout, 3*time.Second), 2
	client := redis.NewUniversalClient(patient.options())
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil && !redis.HasErrorPrefix(err, "NOPERM") {
		return []Finding{{Step: "connect", Problem: err.Error(), Advice: s.connectAdvice(err), Fatal: true}}
	}
	found := []Finding{{Step: "connect"}}
	key, all := trials(s.cfg.Prefix)
	for _, t := range all {
		found = append(found, try(ctx, client, t))
	}
	if s.cfg.Documents {
		found = append(found, s.tryDocuments(ctx, client, key)...)
	}
	found = append(found, tryExec(ctx, client), s.foreignKey(ctx, client))
	return append(found, s.rights(ctx, client, key)...)
}

// rights asks for the forbidden commands. Inside MULTI the server checks
// permissions and queues. EXEC never follows: the client, and with it the
// connection, is closed instead.
func (s *Store) rights(ctx context.Context, client redis.UniversalClient, key string) []Finding {
	conn, err := connOf(ctx, client, key)
	if err == nil {
		err = conn.Do(ctx, "MULTI").Err()
	}
	if err != nil {
		return []Finding{{Step: "rights of the user", Problem: err.Error(), Advice: adviceFor("MULTI", err), Fatal: true}}
	}
	var found []Finding
	for _, t := range forbidden {
		found = append(found, s.refuse(t, conn.Do(ctx, t.words()...).Err()))
	}
	return found
}

// tryDocuments watches on a connection of its own, which is closed afterwards and
// takes the watch with it.
func (s *Store) tryDocuments(ctx context.Context, client redis.UniversalClient, key string) []Finding {
	conn, err := connOf(ctx, client, key)
	if err != nil {
		return []Finding{{Step: "command WATCH", Problem: err.Error(), Advice: adviceFor("WATCH", err), Fatal: true}}
	}
	defer conn.Close()
	var found []Finding
	for _, t := range documentTrials(key) {
		found = append(found, try(ctx, conn, t))
	}
	return found
}

func (t trial) words() []any { return append([]any{t.command}, t.args...) }

// doer runs one command: a client, or one connection of it.
type doer interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

func try(ctx context.Context, client doer, t trial) Finding {
	f := Finding{Step: "command " + t.command}
	if err := client.Do(ctx, t.words()...).Err(); err != nil && !errors.Is(err, redis.Nil) {
		f.Problem, f.Advice, f.Fatal = err.Error(), adviceFor(t.command, err), true
	}
	return f
}

func tryExec(ctx context.Context, client redis.UniversalClient) Finding {
	f := Finding{Step: "commands MULTI and EXEC"}
	_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Ping(ctx).Err() })
	if err != nil {
		f.Problem, f.Advice, f.Fatal = err.Error(), adviceFor("EXEC", err), true
	}
	return f
}

// refuse turns the answer to a forbidden command into a finding.
func (s *Store) refuse(t trial, err error) Finding {
	f := Finding{Step: "no permission for " + strings.TrimSuffix(t.command+" "+fmt.Sprint(t.args[0]), " sallyport-self-test")}
	if err == nil || !redis.HasErrorPrefix(err, "NOPERM") {
		f.Problem = "the user may run " + t.command
		f.Advice = "give the gateway a user of its own with exactly: " + ACLFor(s.cfg.Prefix, len(s.cfg.Addresses) > 1 && s.cfg.MasterName == "", s.cfg.Documents)
	}
	return f
}

// foreignKey looks at a key that is not the gateway's.
func (s *Store) foreignKey(ctx context.Context, client redis.UniversalClient) Finding {
	f := Finding{Step: "no access to other keys"}
	err := client.Get(ctx, "not-"+s.cfg.Prefix+"self-test").Err()
	if err == nil || errors.Is(err, redis.Nil) {
		f.Problem = "the user may read keys that do not begin with " + s.cfg.Prefix
		f.Advice = "limit its keys with: resetkeys ~" + s.cfg.Prefix + "*"
	}
	return f
}

// connOf returns one connection to the server that holds key.
func connOf(ctx context.Context, client redis.UniversalClient, key string) (*redis.Conn, error) {
	switch c := client.(type) {
	case *redis.Client:
		return c.Conn(), nil
	case *redis.ClusterClient:
		node, err := c.MasterForKey(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("redisstore: cluster node: %w", err)
		}
		return node.Conn(), nil
	default:
		return nil, fmt.Errorf("redisstore: client of type %T", c)
	}
}

func adviceFor(command string, err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "NOPERM") && strings.Contains(text, "key"):
		return "let the user have the gateway's keys: resetkeys ~" + DefaultPrefix + "* (or the prefix in the settings)"
	case strings.Contains(text, "NOPERM"):
		return "let the user run it: +" + strings.ToLower(command)
	case redis.HasErrorPrefix(err, "OOM"):
		return "Redis is full: raise maxmemory; maxmemory-policy must be noeviction or volatile-ttl"
	case redis.HasErrorPrefix(err, "READONLY"):
		return "this is a replica: give the address of the master, or of the sentinels with the master's name"
	default:
		return "see the text of the error"
	}
}

func (s *Store) connectAdvice(err error) string {
	text := err.Error()
	switch {
	case redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "NOAUTH"):
		return "check the user name and the password file; the user must exist in Redis (ACL SETUSER) and be on"
	case strings.Contains(text, "certificate is valid for"), strings.Contains(text, "doesn't contain any IP SANs"):
		return "the certificate does not hold the name that is dialled: set the server name in the settings, or let Redis announce " +
			"names (Sentinel: resolve-hostnames yes, announce-hostnames yes)"
	case strings.Contains(text, "unknown authority"):
		return "give the CA file that signed the certificate of Redis"
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return "this port does not speak TLS: set tls-port in Redis"
	case strings.Contains(text, "connection refused"):
		return "nothing listens at " + strings.Join(s.cfg.Addresses, ", ")
	default:
		return "check address, port and firewall between the gateway and Redis"
	}
}
