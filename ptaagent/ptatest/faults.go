package ptatest

import "time"

// Faults are the ways to misbehave. The zero value is good behaviour. They are
// set for everything ([Cloud.SetFaults]) or for one sign-in ([SignIn.Faults]);
// those that concern registration, bootstrap and links have no effect in one
// sign-in.
type Faults struct {
	// Piece cuts what the relay sends into WebSocket messages of at most so many
	// bytes. Zero: a transfer's performative and its payload travel apart, the
	// rest whole.
	Piece int
	// Coalesce sends performative and payload of a transfer as one message.
	Coalesce bool
	// RelayDelay is waited before each message that the relay sends.
	RelayDelay time.Duration

	// Notification replaces the payload of the transfer.
	Notification []byte
	// TransferFrame replaces the whole AMQP frame of the transfer.
	TransferFrame []byte
	// InstanceHost replaces the relay instance's host in the notification.
	InstanceHost string
	// DeadRendezvous notifies of a rendezvous that nobody waits for.
	DeadRendezvous bool
	// AcceptError answers the agent's accept with a fault.
	AcceptError bool
	// TwiceNotified sends the notification twice.
	TwiceNotified bool

	// Frame is what comes instead of the framing preamble: FrameFault,
	// FrameUpgrade, FrameVersion, FrameSingleton or FrameTruncated.
	Frame Frame
	// Envelope replaces the payload of the sized envelope that carries the signal.
	Envelope []byte
	// OutOfOrder and Twice disturb a reliable session: the signal overtakes the
	// message before it, or comes twice with one number.
	OutOfOrder, Twice bool
	// UnknownSequence ends a reliable session with that fault.
	UnknownSequence bool
	// NoAcknowledgement holds back acknowledgements of the agent's reply, so that
	// it is sent again.
	NoAcknowledgement bool

	// OmitKey leaves the agent's own entry out; ForeignKey names another thumb
	// print in it; BadCipher makes it undecryptable; Plaintext replaces the JSON
	// under the encryption.
	OmitKey, ForeignKey, BadCipher bool
	Plaintext                      []byte
	// Entries fills the list of entries up with strangers' ones.
	Entries int
	// TrafficProtocol replaces the name (SOAP) or number (JSON) of the protocol.
	TrafficProtocol string
	// UnknownMembers adds elements and members that no description has.
	UnknownMembers bool
	// Tenant replaces SubscriptionId.
	Tenant string
	// ReturnHost replaces the host that the result should go to.
	ReturnHost string
	// Repeats is how often the same signal, transaction included, is sent again.
	Repeats int
	// Respelled gives each of these a new RequestId and writes its ciphertexts with
	// line breaks: the password comes again, and nothing else is the same.
	Respelled bool
	// JSON replaces the document on the front-end WebSocket.
	JSON []byte

	// SocketStatus refuses the front-end WebSocket with an HTTP status.
	SocketStatus int
	// SocketSilent opens the front-end WebSocket and never sends the request.
	SocketSilent bool
	// ResultStatus are the HTTP statuses of the attempts to post a result, in
	// order; -1 cuts the connection after the request was read. After the last
	// one results are taken.
	ResultStatus []int
	// ResultDelay is waited before a result is answered.
	ResultDelay time.Duration

	// BootstrapStatus, BootstrapBody and BootstrapHang spoil bootstraps: a status
	// other than 200, another body, no answer until the client gives up.
	BootstrapStatus int
	BootstrapBody   []byte
	BootstrapHang   bool
	// LinkStatus refuses the relay's WebSocket with an HTTP status; LinkError
	// refuses every attach with this condition.
	LinkStatus int
	LinkError  Condition
	// Register and Renew spoil issued certificates.
	Register, Renew Issue
	// RegisterStatus and RenewStatus answer with an HTTP status instead.
	RegisterStatus, RenewStatus int
}

// Frame is a disturbance of the framing preamble.
type Frame string

// The disturbances of [Faults.Frame].
const (
	FrameFault     Frame = "fault"     // a framing fault record
	FrameUpgrade   Frame = "upgrade"   // an upgrade request
	FrameVersion   Frame = "version"   // version 9.0
	FrameSingleton Frame = "singleton" // mode 1 instead of duplex
	FrameTruncated Frame = "truncated" // half a preamble, then the end of the stream
)

// Issue is a flaw of an issued certificate or of its answer.
type Issue string

// The flaws of [Faults.Register] and [Faults.Renew].
const (
	IssueRefused       Issue = "refused"        // IsSuccessful false, with text
	IssueForeignKey    Issue = "foreign key"    // a certificate for another key
	IssueForeignTenant Issue = "foreign tenant" // subject of another tenant
	IssueForeignAgent  Issue = "foreign agent"  // the id of another agent (renewal)
	IssueNoAgent       Issue = "no agent id"    // without the agent id extension
	IssueNoUsage       Issue = "no usage"       // server instead of client authentication
	IssueExpired       Issue = "expired"        // not valid any more
	IssueGarbage       Issue = "garbage"        // an HTML page
)

// Condition is an AMQP error condition.
type Condition string

// The conditions of the relay (7.5).
const (
	AuthFailed    Condition = "com.microsoft:auth-failed"
	RelayNotFound Condition = "com.microsoft:relay-not-found"
	AddressInUse  Condition = "com.microsoft:address-already-in-use"
	ServerBusy    Condition = "com.microsoft:server-busy"
	Timeout       Condition = "com.microsoft:timeout"
	InternalError Condition = "amqp:internal-error"
	ForcedDetach  Condition = "amqp:link:detach-forced"
)
