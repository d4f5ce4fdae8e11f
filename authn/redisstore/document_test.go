package redisstore_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"sallyport/authn/redisstore"
)

func TestDocumentsAreSwappedByOneAtATime(t *testing.T) {
	srv := startServer(t, redisstore.ACL+" "+redisstore.DocumentCommands)
	s := newStore(t, srv.config())
	ctx := t.Context()
	if v, err := s.Document(ctx, "ledger"); v != nil || err != nil {
		t.Fatalf("%q, %v", v, err)
	}
	if ok, err := s.SwapDocument(ctx, "ledger", []byte("x"), []byte("y")); ok || err != nil {
		t.Errorf("swap of what is not there: %v, %v", ok, err)
	}
	var winners atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			ok, err := s.SwapDocument(ctx, "ledger", nil, []byte{byte(i)})
			if err != nil {
				t.Error(err)
			}
			if ok {
				winners.Add(1)
			}
		})
	}
	all.Wait()
	if winners.Load() != 1 {
		t.Errorf("%d made the first value", winners.Load())
	}
	v, err := s.Document(ctx, "ledger")
	if err != nil || len(v) != 1 {
		t.Fatalf("%q, %v", v, err)
	}
	if ok, err := s.SwapDocument(ctx, "ledger", v, nil); !ok || err != nil {
		t.Errorf("removal: %v, %v", ok, err)
	}
	if v, err := s.Document(ctx, "ledger"); v != nil || err != nil {
		t.Errorf("after the removal: %q, %v", v, err)
	}
}
