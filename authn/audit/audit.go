// Package audit defines the typed events of the audit trail. It is a leaf: the
// sinks that store events live elsewhere, so that every package can report.
//
// Codes are stable: an auditor's query written today works with every later
// version. An event never holds a secret, a token or a claim's value beyond the
// person's names.
package audit

import (
	"context"
	"time"
)

// Code names a kind of event; codes are never reused or renumbered.
type Code string

// The events. The numbers group them: 1xx sign-in, 2xx tokens, 3xx sessions,
// 4xx service, 5xx keys and settings.
const (
	SignInAccepted Code = "SP100" // a password or ticket was accepted
	SignInRefused  Code = "SP101" // credentials were judged and refused
	SignInFailed   Code = "SP102" // nobody could judge the credentials
	VerdictLost    Code = "SP103" // the party that asked did not take the verdict on credentials
	RequestRefused Code = "SP110" // a protocol request was refused before credentials
	TokenIssued    Code = "SP200" // written before the token leaves
	TokenRefused   Code = "SP201" // person known, but no token for this party
	SessionStarted Code = "SP300"
	SessionEnded   Code = "SP301" // signed out, revoked, or ended by a check
	SessionsEnded  Code = "SP302" // an admin ended all sessions of an account
	ServiceStarted Code = "SP400"
	ServiceStopped Code = "SP401"
	EventsLost     Code = "SP402" // events did not fit into memory while a sink was dead
	TrailOpened    Code = "SP403" // first record of each file: the chain goes on here
	SettingsLoaded Code = "SP500"
	SettingsBad    Code = "SP501" // a reload was refused; old settings stay
	KeyLoaded      Code = "SP510"
	KeyStaged      Code = "SP511" // the next token-signing key was made or brought in
	KeyPublished   Code = "SP512" // every instance lists its certificate
	KeyPromoted    Code = "SP513" // it signs from now on
	KeyRetired     Code = "SP514" // taken out of the metadata, private key destroyed
	KeysReplaced   Code = "SP515" // emergency: all keys were given up for stolen
	PartyTold      Code = "SP516" // an admin says that a party knows a certificate
	DomainView     Code = "SP520" // how Microsoft holds a federated domain: seen first, or changed
	AgentsView     Code = "SP521" // the tenant's pass-through agents are not all known, or are again
)

// Event is one record. Empty fields are left out when it is written.
type Event struct {
	Time time.Time `json:"time"`
	Code Code      `json:"code"`
	// Reference is what an error page shows; it finds the request's log record.
	Reference     string `json:"ref,omitempty"`
	CorrelationID string `json:"correlation_id,omitempty"`
	Protocol      string `json:"protocol,omitempty"`
	Party         string `json:"party,omitempty"`
	// Account is the objectGUID in registry form; AccountName the NETBIOS\name.
	Account     string `json:"account,omitempty"`
	AccountName string `json:"account_name,omitempty"`
	UPN         string `json:"upn,omitempty"`
	// Typed is the name as typed, only when it led to no single account.
	Typed  string `json:"typed,omitempty"`
	Client string `json:"client,omitempty"`
	Inside bool   `json:"inside,omitempty"`
	Method string `json:"method,omitempty"`
	// Reason is an authn.Reason code or, for requests, a catalogue key.
	Reason string `json:"reason,omitempty"`
	// Detail is the cause, free text without secrets.
	Detail string `json:"detail,omitempty"`
	// TokenID is the assertion's id; KeyID the signing certificate's thumbprint.
	TokenID string `json:"token_id,omitempty"`
	KeyID   string `json:"key_id,omitempty"`
	// Subject is the name identifier in the token.
	Subject string `json:"subject,omitempty"`
	Issuer  string `json:"issuer,omitempty"`
}

// Recorder takes events. It is safe for concurrent use.
type Recorder interface {
	// Record returns nil once the event is as durable as the settings ask:
	// with audit.required, a sink has accepted it; without, it is at least
	// queued in bounded memory. A caller that is about to let a token leave must
	// not do so when Record returns an error.
	Record(ctx context.Context, e *Event) error
}
