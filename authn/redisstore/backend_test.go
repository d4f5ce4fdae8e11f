package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"sallyport/authn/redisstore"
)

// backend is a server under test with the access that an intruder in it has.
type backend interface {
	config() redisstore.Config
	keys() []string
	get(key string) (text string, list []string, ttl time.Duration)
	put(key, text string)
	putList(key string, list []string)
	advance(d time.Duration)
}

// onBoth runs a test on the fake and on a real server.
func onBoth(t *testing.T, test func(t *testing.T, b backend)) {
	t.Run("fake", func(t *testing.T) { test(t, startFake(t)) })
	t.Run("redis-server", func(t *testing.T) { test(t, startServer(t, redisstore.ACL)) })
}

func (f *fake) keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for k := range f.data {
		if f.find(k) != nil {
			all = append(all, k)
		}
	}
	return all
}

func (f *fake) get(key string) (string, []string, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	it := f.find(key)
	if it == nil {
		return "", nil, 0
	}
	if it.until.IsZero() {
		return it.text, it.list, -1
	}
	return it.text, it.list, it.until.Sub(f.now())
}

func (f *fake) put(key, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data[key] = &item{text: text}
}

func (f *fake) putList(key string, list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data[key] = &item{isList: true, list: list}
}

func (s *server) get(key string) (string, []string, time.Duration) {
	ctx := context.Background()
	ttl := s.admin.PTTL(ctx, key).Val()
	if s.admin.Type(ctx, key).Val() == "list" {
		return "", s.admin.LRange(ctx, key, 0, -1).Val(), ttl
	}
	return s.admin.Get(ctx, key).Val(), nil, ttl
}

func (s *server) put(key, text string) {
	if err := s.admin.Set(context.Background(), key, text, 0).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) putList(key string, list []string) {
	ctx := context.Background()
	if err := s.admin.Del(ctx, key).Err(); err != nil {
		s.t.Fatal(err)
	}
	for _, e := range list {
		if err := s.admin.RPush(ctx, key, e).Err(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// only returns the one key of a kind (s: records, p: parties, o: once).
func only(t *testing.T, b backend, kind string) string {
	t.Helper()
	found := ""
	for _, k := range b.keys() {
		if strings.HasPrefix(k, redisstore.DefaultPrefix+kind+":") {
			if found != "" {
				t.Fatalf("several keys of kind %s", kind)
			}
			found = k
		}
	}
	if found == "" {
		t.Fatalf("no key of kind %s", kind)
	}
	return found
}
