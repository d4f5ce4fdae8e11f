package ptaagent_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// cable is a network that can be pulled out, as the death of a machine does.
type cable struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (c *cable) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// Two agents share the load. One of them dies: what it had not acknowledged goes to
// the other one, what comes after it too. Only what it had acknowledged and not yet
// answered is lost, since the cloud hands a request that was taken to nobody else.
func TestTwoAgentsShareTheLoadAndOneMayDie(t *testing.T) {
	t.Parallel()
	h := open(t, ptatest.Config{Settings: func(s *ptatest.Settings) { s.AnswerBudget = 2 * time.Second }})
	wire := &cable{dial: h.cloud.DialContext}
	h.another(t, func(c *ptaagent.Config) { c.Network.Dial = wire.Dial })
	var all sync.WaitGroup
	var good, lost atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 20 {
				v, err := h.signIn(t, ptatest.SignIn{})
				switch {
				case err != nil:
					lost.Add(1)
				case v.OK:
					good.Add(1)
				default:
					t.Errorf("%+v", v)
				}
			}
		})
	}
	h.wait(t, func(s ptatest.Stats) bool { return s.Counts[ptatest.Result] > 50 })
	wire.pull()
	all.Wait()

	taken, answered := map[string]string{}, map[string]bool{}
	share := map[string]int{}
	for _, r := range h.cloud.Records() {
		switch r.Kind {
		case ptatest.Acknowledged:
			taken[r.Transaction] = r.Agent
		case ptatest.Result:
			answered[r.Transaction] = true
			share[r.Agent]++
		}
	}
	dying := 0
	for id, agent := range taken {
		if !answered[id] {
			dying++
			if agent == h.id.Agent() {
				t.Errorf("%s was lost by the agent that lives", id)
			}
		}
	}
	if int(lost.Load()) != dying || dying > 8 || good.Load()+lost.Load() != 160 {
		t.Errorf("%d good, %d lost, %d of them acknowledged by the dead agent", good.Load(), lost.Load(), dying)
	}
	if len(share) != 2 || share[h.id.Agent()] < 10 || 160-share[h.id.Agent()] < 10 {
		t.Errorf("the load was shared as %v", share)
	}
}
