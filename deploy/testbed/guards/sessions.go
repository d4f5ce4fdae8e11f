package main

import "slices"

// sessionGuards are those of sessions, cookies and Redis.
func sessionGuards() []guard {
	return slices.Concat(of("authn",
		guard{row: "R01", file: "seal/seal.go", in: "Key", old: `[]byte(salt), purpose, 32`, new: `[]byte(salt), "", 32`, pkg: "authn/redisstore", test: "TestR01_WritingToRedisMakesNoSession"},
		guard{row: "R01", file: "seal/seal.go", in: "Box.Open", old: `sealed[1:], aad)`, new: `sealed[1:], nil)`, test: "TestR01_ChangedOrMovedValueDoesNotOpen",
			also: edit{"Box.Seal", `nil, plaintext, aad)`, `nil, plaintext, nil)`}},
		guard{row: "R01", file: "seal/seal.go", in: "Box.Open", old: ` || sealed[0] != version1 {`, new: ` {`, test: "TestR01_ChangedOrMovedValueDoesNotOpen"},
		guard{row: "R01", file: "redisstore/store.go", in: "Store.openRecord", old: `sealed, []byte(key))`, new: `sealed, nil)`, test: "TestR01_WritingToRedisMakesNoSession",
			also: edit{"Store.Create", `record, []byte(key))`, `record, nil)`}},
		guard{row: "R01", file: "redisstore/names.go", in: "names.openParty", old: `[]byte(sealed), []byte(key))`, new: `[]byte(sealed), nil)`, test: "TestR01_PartiesOfAnotherSessionAreNotTaken",
			also: edit{"names.sealParty", `plain, []byte(key))`, `plain, nil)`}},
		guard{row: "R01", file: "redisstore/names.go", in: "names.sealParty", old: `n.parties.SealSame(nil, plain, []byte(key))`, new: `plain`, test: "TestR01_ReadingRedisTellsNothing"},
		guard{row: "R01", file: "redisstore/names.go", in: "names.session", old: `mac.Sum(sum[:0])[:16]`, new: `append(sum[:0], id[:]...)[:16]`, test: "TestR01_ReadingRedisTellsNothing"},
		guard{row: "R02", file: "redisstore/store.go", in: "Store.Once", old: `value == string(token[:16])`, new: `value != ""`, test: "TestR02_WrongRepliesFindNoWrongSession"},
		guard{row: "R02", file: "redisstore/store.go", in: "Store.openRecord", old: `sealed, []byte(key))`, new: `sealed, nil)`, test: "TestR02_WrongRepliesFindNoWrongSession",
			also: edit{"Store.Create", `record, []byte(key))`, `record, nil)`}},
		guard{row: "R05", file: "redisstore/store.go", in: "Store.openRecord", old: `case !s.cfg.Now().Before(sess.Expires):`, test: "TestR05_RolledBackRecordEndsWithItsSeal"},
		guard{row: "R05", file: "redisstore/store.go", in: "Store.End", old: `if errors.Is(err, session.ErrUnavailable) {`, test: "TestR05_SignOutDuringAnOutageIsCarriedOut"},
		guard{row: "R05", file: "redisstore/health.go", in: "Store.watch", old: `s.endPutOff(ctx)`, new: `_ = err`, test: "TestR05_SignOutDuringAnOutageIsCarriedOut"},
		guard{row: "R06", file: "redisstore/health.go", in: "health.allow", old: `return h.down`, new: `return nil`, test: "TestR06_NetworkCut"},
		guard{row: "R06", file: "redisstore/store.go", in: "Store.do", old: `s.health.bad(err)
		return fmt.Errorf("%w: %s: %w", session.ErrUnavailable, op, err)`, new: `s.health.bad(err)
		return nil`, test: "TestR06_NetworkCut"},
		guard{row: "R07", file: "redisstore/config.go", old: `ContextTimeoutEnabled:    true,`, new: `ContextTimeoutEnabled:    false,`, test: "TestR07_DeadlineOfTheCallerIsObeyed"},
		guard{row: "R07", file: "redisstore/store.go", in: "Store.do", old: `case impatient(ctx, limit):`, test: "TestR07_DeadlineOfTheCallerIsObeyed"},
	), of("federation/signin",
		guard{row: "R03", file: "sessions.go", in: "Flow.replace", old: `f.cfg.Sessions.End(ctx, old)`, new: `[]string(nil), error(nil)`, test: "TestR03_EachSignInGetsANewSessionAndEndsTheOld"},
		guard{row: "R03", file: "cookies.go", in: "sessionID", old: `if len(all) != 1 {`, new: `if len(all) < 1 {`, test: "TestR03_EachSignInGetsANewSessionAndEndsTheOld",
			also: edit{"sessionID", `all[0].Value`, `all[len(all)-1].Value`}},
		guard{row: "R04", file: "cookies.go", in: "setCookie", old: `HttpOnly: true, `, new: ` `, test: "TestR04_CookiesHaveAllTheirFlags"},
		guard{row: "R04", file: "cookies.go", in: "setCookie", old: `Secure: true, `, new: ` `, test: "TestR04_CookiesHaveAllTheirFlags"},
		guard{row: "R04", file: "cookies.go", in: "setCookie", old: `SameSite: http.SameSiteLaxMode`, new: `SameSite: http.SameSiteNoneMode`, test: "TestR04_CookiesHaveAllTheirFlags"},
		guard{row: "R04", file: "cookies.go", old: `= "__Host-sallyport-browser"`, new: `= "sallyport-browser"`, test: "TestR04_CookiesHaveAllTheirFlags"},
		guard{row: "R05", file: "sessions.go", in: "Flow.SignOut", old: `context.WithoutCancel(r.Context())`, new: `r.Context()`, test: "TestR05_SignOutIsCarriedThroughThoughTheBrowserHasGone"},
		guard{row: "R05", file: "sessions.go", in: "Flow.end", old: `f.cfg.Sessions.End(ctx, id)`, new: `[]string(nil), error(nil)`, test: "TestR05_SignOutIsCarriedThroughThoughTheBrowserHasGone"},
	))
}
