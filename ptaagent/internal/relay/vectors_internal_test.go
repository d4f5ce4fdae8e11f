package relay

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/ptaagent/internal/binxml"
)

// The vectors are messages that public research has sent to the service, or has seen
// from it; see the names of the tests.

func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func same(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func guidOf(digit string) string {
	return strings.Repeat(digit, 8) + "-" + strings.Repeat(digit, 4) + "-" + strings.Repeat(digit, 4) + "-" + strings.Repeat(digit, 4) + "-" + strings.Repeat(digit, 12)
}

// sent returns what a session writes.
func sent(t *testing.T, write func(s *session)) []byte {
	t.Helper()
	c := &captured{}
	s := newSession(sessionConfig{conn: c, reliable: true, timing: Timing{}.complete()})
	s.seq.in, s.seq.out = uniqueID(uuidPrefix+guidOf("2")), uniqueID(uuidPrefix+guidOf("3"))
	write(s)
	return c.Bytes()
}

func TestTheAcceptIsTheOneThatTheServiceTakes(t *testing.T) {
	same(t, appendAccept(nil, guidOf("1")), vector(t, "v1"))
}

func TestTheAnswerToTheAcceptIsRead(t *testing.T) {
	if err := readAcceptReply(bytes.NewReader(vector(t, "v2"))); err != nil {
		t.Error(err)
	}
	other := bytes.Replace(vector(t, "v2"), []byte("RelayedAcceptReply"), []byte("RelayedRefusedThis"), 1)
	if err := readAcceptReply(bytes.NewReader(other)); err == nil {
		t.Error("an answer with another action was taken")
	}
}

func TestThePreambleIsRead(t *testing.T) {
	via, err := readPreamble(bufio.NewReader(bytes.NewReader(vector(t, "v3"))))
	if err != nil || via != "sb://ns1.servicebus.example/0000_reliable" {
		t.Errorf("%q, %v", via, err)
	}
}

func TestTheSequencesAnswerIsTheOneThatTheServiceTakes(t *testing.T) {
	same(t, sent(t, func(s *session) {
		_ = s.send(func(w *binxml.Writer) {
			writeCreated(w, uuidPrefix+guidOf("1"), s.seq.in, "sb://ns1.servicebus.example/0000_reliable")
		})
	}), vector(t, "v4"))
}

func TestTheAcknowledgementIsTheOneThatTheServiceTakes(t *testing.T) {
	same(t, sent(t, func(s *session) {
		s.seq.highest = 1
		_ = s.acknowledge()
	}), vector(t, "v5"))
}

// response writes the reply of the agent, as the package above does.
func response(w *binxml.Writer) {
	w.StartLocal("", "SignalConnectorResponse")
	w.SpaceLocal("", "http://tempuri.org/")
	w.StartLocal("", "SignalConnectorResult")
	w.SpaceLocal("b", "http://schemas.datacontract.org/2004/07/Microsoft.ApplicationProxy.Common.SignalingDataModel")
	w.SpaceLocal("i", nsInstance)
	w.StartLocal("b", "AckLatency")
	w.Int(0)
	w.End()
	w.StartLocal("b", "ConnectorId")
	w.Text(guidOf("5"))
	w.End()
	w.End()
	w.End()
}

const responseAction = "http://tempuri.org/IConnectorSignalingService/SignalConnectorResponse"

func TestTheReliableReplyIsTheOneThatTheServiceTakes(t *testing.T) {
	same(t, sent(t, func(s *session) {
		_ = s.sendReliable(Reply{Action: responseAction, Write: response}, uuidPrefix+guidOf("4"))
	}), vector(t, "v6"))
}

func TestThePlainReplyIsTheOneOfTheDescription(t *testing.T) {
	same(t, sent(t, func(s *session) {
		_ = s.send(func(w *binxml.Writer) {
			beginEnvelope(w, false)
			localAction(w, responseAction)
			relatesTo(w, uuidPrefix+guidOf("4"))
			toAnonymous(w)
			response(w)
			endEnvelope(w)
		})
	}), vector(t, "v7"))
}

func TestTheTokenIsTheOneThatTheServiceTakes(t *testing.T) {
	e := Endpoint{
		Namespace: "ns1", Domain: "servicebus.windows.net", KeyName: "Connector", Key: "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
		Path: "00000000-0000-0000-0000-000000000001_00000000-0000-0000-0000-000000000002",
	}
	const want = "SharedAccessSignature sr=http%3a%2f%2fns1.servicebus.windows.net%2f00000000-0000-0000-0000-000000000001_00000000-0000-0000-0000-000000000002%2f&sig=Y77VX3rC%2fZvKEnQYCxiuFf79lx1bEjjODa%2f3BaFpVNQ%3d&se=1767225600&skn=Connector"
	if got := e.Token(time.Unix(1767225600, 0)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAGUIDIsStoredInMicrosoftsOrder(t *testing.T) {
	g, ok := parseGUID("00112233-4455-6677-8899-aabbccddeeff")
	if want := "33221100554477668899aabbccddeeff"; !ok || hex.EncodeToString(g[:]) != want {
		t.Errorf("%x, want %s", g, want)
	}
}
