// Package demo is the gateway between stand-ins of Microsoft 365 and Active
// Directory in one process, on loopback, with keys and passwords made for the
// run. The demo command shows it to a person, and tests of the assembled service
// start it to have real neighbours on both sides.
//
// The gateway is started as an admin would start it: from a settings file, with
// secrets in files of their own. One domain stands for both kinds: federated at the
// first page, managed with a pass-through authentication agent at the second.
package demo
