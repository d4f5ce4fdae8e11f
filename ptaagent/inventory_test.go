package ptaagent_test

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// Whoever has stolen an administrator's session registers an agent of his own, which
// accepts every password; whoever has stolen a key runs it elsewhere. Both show in the
// tenant's inventory, within one period of comparison.
func TestP01_AStrangeAgentRaisesTheAlarm(t *testing.T) {
	t.Parallel()
	inspect := func(known ptaagent.Known, token func(h *house) string) *house {
		var h atomic.Pointer[house]
		opened := open(t, ptatest.Config{}, func(c *ptaagent.Config) {
			c.Inspection = ptaagent.Inspection{Known: known, Every: 50 * time.Millisecond, Token: func() (string, error) {
				if o := h.Load(); o != nil {
					return token(o), nil
				}
				return "", errors.New("not yet")
			}}
		})
		h.Store(opened)
		return opened
	}
	admin := func(h *house) string { return h.cloud.AdminToken() }
	alarmed := func(h *house, want string) {
		t.Helper()
		until(t, "the alarm", func() bool { err := h.agent.Trouble(); return err != nil && strings.Contains(err.Error(), want) })
		if s := h.agent.Status(); len(s.Strange) != 1 {
			t.Errorf("%v", s.Strange)
		}
		until(t, "its record", func() bool { return h.trail.has("strange") })
	}

	t.Run("registered by a stranger", func(t *testing.T) {
		h := inspect(ptaagent.Known{}, func(h *house) string { return h.cloud.GraphToken() })
		until(t, "a comparison", func() bool { return !h.agent.Status().Inspected.IsZero() })
		if err := h.agent.Trouble(); err != nil || h.trail.has("strange") {
			t.Errorf("before: %v", err)
		}
		id, err := h.cloud.AddStranger("thief.evil.test")
		if err != nil {
			t.Fatal(err)
		}
		alarmed(h, "agent "+id+` on "thief.evil.test"`)
		if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
			t.Errorf("sign-ins end: %+v, %v", v, err)
		}
		h.cloud.Revoke(id)
		until(t, "the end of the alarm", func() bool { return h.agent.Trouble() == nil })
		until(t, "its record", func() bool { return h.trail.has("known") })
		h.well(t)
	})
	t.Run("our agent from elsewhere", func(t *testing.T) {
		h := inspect(ptaagent.Known{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, admin)
		alarmed(h, "its key may be stolen")
	})
	t.Run("ours", func(t *testing.T) {
		h := inspect(ptaagent.Known{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, admin)
		until(t, "a comparison", func() bool { return !h.agent.Status().Inspected.IsZero() })
		if err := h.agent.Trouble(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a token that is not taken", func(t *testing.T) {
		h := inspect(ptaagent.Known{}, func(h *house) string { return h.cloud.Token(h.cloud.Tenant, false) })
		until(t, "why", func() bool { return strings.Contains(h.agent.Status().InventoryError, "may not read the agents") })
	})
}

// A list that is not the whole tenant's must not pass for one without strangers.
func TestP01_AListWithoutTheAgentItselfProvesNothing(t *testing.T) {
	t.Parallel()
	var h atomic.Pointer[house]
	h.Store(open(t, ptatest.Config{}, func(c *ptaagent.Config) {
		c.Inspection = ptaagent.Inspection{Every: 50 * time.Millisecond, Token: func() (string, error) {
			if o := h.Load(); o != nil {
				return o.cloud.GraphToken(), nil
			}
			return "", errors.New("not yet")
		}}
	}))
	agent := h.Load().agent
	until(t, "a comparison", func() bool { s := agent.Status(); return !s.Inspected.IsZero() && s.InventoryError == "" })
	h.Load().cloud.Revoke(agent.Status().Agent)
	until(t, "the agent missing", func() bool { return strings.Contains(agent.Status().InventoryError, "it lacks this agent") })
}

func TestP01_ATokenOfAnotherTenantIsNotSent(t *testing.T) {
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"aud":"https://graph.microsoft.com","tid":"11111111-1111-4111-8111-111111111111"}`))
	_, err := ptaagent.Inventory(t.Context(), ptaagent.Global(), ptaagent.Network{}, "22222222-2222-4222-8222-222222222222", "e30."+claims+".c2ln")
	if err == nil || !strings.Contains(err.Error(), "of tenant") {
		t.Errorf("%v", err)
	}
}

func FuzzInventory(f *testing.F) {
	for _, s := range []string{
		`{"value":[{"id":"A","machineName":"m","externalIp":"192.0.2.1","status":"active"}]}`, `{"value":[]}`, `{}`, `{"value":null}`,
		`{"value":[{"id":""}]}`, `{"value":[{"id":"a"}],"@odata.nextLink":"https://evil.test/"}`, `[`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ptaagent.ReadInventory(strings.NewReader(text))
		for _, l := range list {
			if l.ID == "" || l.ID != strings.ToLower(l.ID) || err != nil {
				t.Errorf("%+v, %v", l, err)
			}
		}
		// Nobody is known, so everybody is strange: no agent is lost on the way.
		if got := (ptaagent.Known{}).Judge(list); len(got) != len(list) {
			t.Errorf("%d of %d agents are judged", len(got), len(list))
		}
	})
}
