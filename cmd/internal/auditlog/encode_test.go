package auditlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/authn/audit"
	"sallyport/cmd/internal/auditlog"
)

// TestEveryFieldOfAnEventIsWrittenAsItsTagSays compares with encoding/json, field
// by field: a field that audit.Event gets later must be written too.
func TestEveryFieldOfAnEventIsWrittenAsItsTagSays(t *testing.T) {
	full := audit.Event{}
	v := reflect.ValueOf(&full).Elem()
	var each []audit.Event
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(fmt.Sprintf("%s <&> \"é\" \\ %d", v.Type().Field(i).Name, i))
		case reflect.Bool:
			f.SetBool(true)
		default:
			f.Set(reflect.ValueOf(start))
		}
		one := audit.Event{Time: start, Code: audit.TokenIssued}
		reflect.ValueOf(&one).Elem().Field(i).Set(v.Field(i))
		each = append(each, one)
	}
	for _, e := range append(each, full, audit.Event{Time: start, Code: audit.TokenIssued, Detail: "a\x00\n\xff\u2028b"},
		audit.Event{Time: start, AccountName: `"CONTOSO\alice\"`, UPN: `\`, Typed: `""`}) {
		got, err := auditlog.Encode(&e, time.Now)
		must(t, err)
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		must(t, enc.Encode(&e))
		if string(got)+"\n" != want.String() {
			t.Errorf("got  %s\nwant %s", got, want.String())
		}
	}
}

// slow is a sink that needs a while for each write, as a disk does for an fsync.
type slow struct {
	mu     sync.Mutex
	writes []int
}

func (*slow) Name() string { return "test" }
func (*slow) Close() error { return nil }

func (s *slow) Write(events [][]byte) error {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, len(events))
	return nil
}

func TestAnEventThatComesAloneNeverWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{s}, Required: true, Gather: time.Second})
		must(t, err)
		defer l.Close(t.Context())
		began := time.Now()
		for i := range 20 {
			must(t, l.Record(t.Context(), token(i)))
		}
		if took := time.Since(began); took != 20*time.Millisecond {
			t.Errorf("20 events, one after another, took %v: each should take the sink's millisecond", took)
		}
	})
}

func TestEventsThatComeTogetherShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		l, err := auditlog.New(auditlog.Config{Sinks: []auditlog.Sink{s}, Required: true, Gather: 4 * time.Millisecond})
		must(t, err)
		var wg sync.WaitGroup
		const people, each = 16, 10
		longest := make([]time.Duration, people)
		for w := range people {
			wg.Go(func() {
				time.Sleep(time.Duration(w) * 300 * time.Microsecond) // they do not come at the same instant
				for i := range each {
					began := time.Now()
					must(t, l.Record(context.Background(), token(w*each+i)))
					longest[w] = max(longest[w], time.Since(began))
					time.Sleep(3 * time.Millisecond) // their signatures
				}
			})
		}
		wg.Wait()
		if n := len(s.writes); n > people*each/8 {
			t.Errorf("%d writes for %d events: %v", n, people*each, s.writes)
		}
		for w, d := range longest {
			if d > 7*time.Millisecond { // a write under way, the gathering, the own write
				t.Errorf("person %d waited %v", w, d)
			}
		}
		// They have gone: the next one is alone again, at the latest after one write.
		must(t, l.Record(t.Context(), token(0)))
		began := time.Now()
		must(t, l.Record(t.Context(), token(1)))
		if took := time.Since(began); took != time.Millisecond {
			t.Errorf("an event alone took %v", took)
		}
		must(t, l.Close(t.Context()))
	})
}
