package main

import "slices"

// operationGuards are those of what admins do, and of the versions and the library
// that the gate itself checks: there the check stands in a test, which another one
// holds to what it must find.
func operationGuards() []guard {
	return slices.Concat(of("certs",
		guard{row: "O01", file: "dirstore.go", in: "DirStore.Swap", old: `if latest != next.Version-1 {`, test: "TestO01_SwapLosesAgainstWhoeverWasFirst"},
		guard{row: "O01", file: "dirstore.go", in: "DirStore.Swap", old: `case errors.Is(err, fs.ErrExist):
		return ErrConflict`, new: `case errors.Is(err, fs.ErrExist):
		return nil`, test: "TestO01_SwapLosesAgainstWhoeverWasFirst"},
		guard{row: "O01", file: "promote.go", in: "Hand.Emergency", old: `By: h.By, Action: ActionEmergency`, new: `Action: ActionEmergency`, test: "TestO01_EveryInstanceRecordsWhoChangedAKey"},
		guard{row: "O01", file: "promote.go", in: "Hand.Retire", old: `l.note(Event{At: h.now(), By: h.By, Action: ActionDiscarded, ID: e.ID, Detail: "was " + string(was)})`, new: `_ = was`, test: "TestO01_EveryInstanceRecordsWhoChangedAKey"},
		guard{row: "O01", file: "apply.go", in: "Manager.audit", old: `done := e.Number <= m.audited`, new: `done := e.Number <= m.audited+1`, test: "TestO01_EveryInstanceRecordsWhoChangedAKey"},
	), of("cmd/internal/telemetry",
		guard{row: "O01", file: "control.go", in: "listenPrivate", old: `os.Chmod(hidden, 0o600)`, new: `os.Chmod(hidden, 0o666)`, test: "TestH11_O01_ControlSocketIsPrivateAndPprofOff"},
		guard{row: "O01", file: "control.go", in: "controlHandler", old: `"POST /reload"`, new: `"/reload"`, test: "TestH11_O01_ControlSocketIsPrivateAndPprofOff"},
	), of("deploy/testbed",
		guard{row: "V01", file: "policy_test.go", in: "belowFloor", old: `case older(t, m.Version, least):`, test: "TestV01_WhatIsBelowTheFloorIsFound"},
		guard{row: "V01", file: "policy_test.go", in: "belowFloor", old: `case least == "":`, test: "TestV01_WhatIsBelowTheFloorIsFound"},
		guard{row: "V01", file: "policy_test.go", in: "belowFloor", old: `if m.Replace != nil {`, test: "TestV01_WhatIsBelowTheFloorIsFound"},
		guard{row: "V01", file: "policy_test.go", in: "belowFloor", old: `if older(t, "v"+version, goFloor) {`, test: "TestV01_WhatIsBelowTheFloorIsFound"},
		guard{row: "V01", file: "policy_test.go", in: "older", old: `return c < 0`, new: `return a < b`, test: "TestV01_OlderComparesByNumber"},
		guard{row: "V02", file: "policy_test.go", in: "behaviour", old: `x.Name == name && `, new: `x.Name == "" && `, test: "TestV02_UseOfBehaviourIsFound"},
		guard{row: "V02", file: "policy_test.go", in: "behaviour", old: `strings.HasPrefix(path, library+"/")`, new: `strings.HasPrefix(path, library+"//")`, test: "TestV02_UseOfBehaviourIsFound"},
		guard{row: "V02", file: "policy_test.go", in: "importedAs", old: `if imp.Name != nil {`, test: "TestV02_UseOfBehaviourIsFound"},
	))
}
