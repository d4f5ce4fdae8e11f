package ptatest

import (
	"context"
	"errors"
	"time"
)

// Mode is a way of delivery (10).
type Mode string

// The delivery modes. The zero value takes Connect on reliable endpoints and
// Direct on plain ones, as captures show.
const (
	// Connect: the signal asks the agent to open a WebSocket to the front end,
	// which gives the request as JSON (mode A).
	Connect Mode = "connect"
	// Direct: the request is in the signal (mode B).
	Direct Mode = "direct"
	// TrustedParty: as Connect, with the request in BodyBytes (mode C).
	TrustedParty Mode = "trusted party"
)

// Session is a kind of session.
type Session string

// The kinds of session. The zero value takes either.
const (
	Plain    Session = "plain"
	Reliable Session = "reliable"
)

// SignIn is one request to the stand-in of the sign-in service.
type SignIn struct {
	// UPN and Password are what the user typed.
	UPN, Password string
	// Mode and Session choose the road; zero values take any.
	Mode    Mode
	Session Session
	// Endpoint, when set, is the [Endpoint.Name] to use.
	Endpoint string
	// Fresh opens a relayed connection for this request alone.
	Fresh bool
	// Budget is the time to wait for the verdict. Zero: [Settings.AnswerBudget].
	Budget time.Duration
	// Faults, when not nil, take the place of the cloud's for this request.
	Faults *Faults
}

// Verdict is the outcome of a sign-in that an agent answered.
type Verdict struct {
	// OK says that the password is right.
	OK bool
	// UPN is the name that the agent gave back.
	UPN string
	// Reason is the Win32 number of a refusal, 0 when the reason is a text.
	Reason int
	// Text is the reason as text, such as EncryptionDataNotFound.
	Text string
	// Code is what Microsoft's sign-in log would show, such as AADSTS50126; empty
	// when OK.
	Code string
	// Transaction is the correlation id of the sign-in log.
	Transaction string
	// Agent is the id of the agent that answered.
	Agent string
	// Took is the time from the notification to the result; Ack the time to the
	// acknowledgement of the signal.
	Took, Ack time.Duration
}

// Errors of a sign-in that got no verdict. The text begins with the code that
// Microsoft's sign-in log would show.
var (
	// ErrNoAgent: no link waits for requests on the endpoint.
	ErrNoAgent = errors.New("AADSTS80001: no authentication agent is connected")
	// ErrNoAnswer: no result within the budget.
	ErrNoAnswer = errors.New("AADSTS80002: no answer from the authentication agent in time")
	// ErrBadAnswer: an answer that breaks the contract; see [Cloud.Refusals].
	ErrBadAnswer = errors.New("AADSTS80005: unusable answer from the authentication agent")
	// ErrTooLong: the password does not fit into one block (U-18).
	ErrTooLong = errors.New("the password is too long for one RSA block")
	// ErrOver: the cloud is closed.
	ErrOver = errors.New("the stand-in is closed")
)

// Authenticate signs a user in over any agent, endpoint and mode.
// Errors: [ErrNoAgent], [ErrNoAnswer], [ErrBadAnswer], [ErrTooLong], or the context's.
func (c *Cloud) Authenticate(ctx context.Context, upn, password string) (Verdict, error) {
	return c.SignIn(ctx, SignIn{UPN: upn, Password: password})
}
