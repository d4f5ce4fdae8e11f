package main

import "slices"

// keyGuards are those of signing keys, their rotation, the audit trail and the
// settings.
func keyGuards() []guard {
	return slices.Concat(of("certs",
		guard{row: "H02", file: "acme.go", in: "Listener.toHTTPS", old: `case r.URL.Opaque != "":`, test: "TestH02_PlainHTTPLeadsToThisServiceAlone"},
		guard{row: "C01", file: "internal/disk/read_unix.go", in: "checkPrivate", old: `if mode := info.Mode().Perm(); mode&0o177 != 0 {`, pkg: "certs", test: "TestC01_KeyThatOthersCanReachIsRefused"},
		guard{row: "C01", file: "internal/disk/read_unix.go", in: "checkPrivate", old: `return checkPlace(path)`, new: `return nil`, pkg: "certs", test: "TestC01_KeyThatOthersCanReachIsRefused"},
		guard{row: "C01", file: "internal/disk/read_unix.go", in: "CheckDirectory", old: `if mode&0o027 != 0 {`, pkg: "certs", test: "TestC01_KeyThatOthersCanReachIsRefused"},
		guard{row: "C01", file: "internal/disk/read_unix.go", in: "CheckDirectory", old: `} else if mode&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {`, pkg: "certs", test: "TestC01_KeyThatOthersCanReachIsRefused"},
		guard{row: "C01", file: "internal/disk/read_unix.go", in: "checkPlace", old: `CheckDirectory(filepath.Dir(real))`, new: `CheckDirectory(filepath.Dir(path))`, pkg: "certs", test: "TestC01_KeyThatOthersCanReachIsRefused", also: edit{"checkPlace", `real, err :=`, `_, err :=`}},
		guard{row: "C01", file: "internal/disk/read_unix.go", in: "checkOwner", old: `if uid := os.Geteuid(); st.Uid != 0 && int(st.Uid) != uid {`, pkg: "certs", test: "TestC01_KeyThatOthersCanReachIsRefused"},
		guard{row: "C01", file: "keystore/sealed.go", in: "Sealed.open", old: `sealed, []byte(name))`, new: `sealed, nil)`, test: "TestC01_SharedStoreLearnsNothingAndCannotForge",
			also: edit{"Sealed.seal", `plain, []byte(name))`, `plain, nil)`}},
		guard{row: "C01", file: "keystore/sealed.go", in: "Sealed.seal", old: `s.aead.Seal(nil, nil, plain, []byte(name))`, new: `append(s.aead.Seal(nil, nil, plain, []byte(name)), plain...)`, test: "TestC01_SharedStoreLearnsNothingAndCannotForge"},
		guard{row: "C01", file: "keystore/sealed.go", in: "NewSealed", old: `if len(secret) < 32 {`, test: "TestC01_ShortSecretSealsNothing"},
		guard{row: "C03", file: "apply.go", in: "Manager.Lacking", old: `if m.loaded[sign.ID] != nil {`, new: `if sign != nil {`, test: "TestC03_InstanceWithoutTheFleetsKeySaysWhich"},
		guard{row: "C03", file: "promote.go", in: "Hand.mayPromote", old: `if missing := lacking(v.Running, e.ID); len(missing) > 0 {`, test: "TestC03_InstanceWithoutTheFleetsKeySaysWhich"},
		guard{row: "C03", file: "apply.go", in: "Manager.Lacking", old: `if m.loaded[sign.ID] != nil {`, new: `if sign != nil {`, pkg: "cmd/internal/app", test: "TestC03_InstanceWithoutTheFleetsKeyIsNotReady"},
		guard{row: "C04", file: "plan.go", in: "Entry.waitsFor", old: `case party.Pushed:`, test: "TestC04_PartyThatIsNotProvedIsWaitedForAndNamed"},
		guard{row: "C04", file: "apply.go", in: "Manager.apply", old: `[]State{Published, Staged, Signing, Retired}`, new: `[]State{Signing, Retired}`, test: "TestC04_WholeRotationGoesByItselfAndNobodyIsRefused"},
		guard{row: "C04", file: "change.go", in: "Ledger.bury", old: ` || time.Duration(e.Exposed) < p.RetireFor {`, new: ` {`, test: "TestC04_WholeRotationGoesByItselfAndNobodyIsRefused"},
		guard{row: "C04", file: "change.go", in: "Ledger.promote", old: `old.enter(Retired, now)`, new: `old.enter(Gone, now)`, test: "TestC04_WholeRotationGoesByItselfAndNobodyIsRefused"},
		guard{row: "C05", file: "promote.go", in: "Hand.Emergency", old: `e.Stolen = true`, new: `e.Stolen = false`, test: "TestC05_EmergencyReplacesBothSlotsAndEveryKey"},
		guard{row: "C05", file: "promote.go", in: "Hand.Emergency", old: `e.enter(Gone, now)`, new: `e.enter(Retired, now)`, test: "TestC05_EmergencyReplacesBothSlotsAndEveryKey"},
		guard{row: "C05", file: "promote.go", in: "Hand.Emergency", old: `l.add(standby, Published, now)`, new: `l.add(standby, Gone, now)`, test: "TestC05_EmergencyReplacesBothSlotsAndEveryKey"},
		guard{row: "C05", file: "hand.go", in: "Ledger.knows", old: `case e.Stolen && ok && pub.Equal(c.PublicKey):`, test: "TestC05_EmergencyReplacesBothSlotsAndEveryKey"},
		guard{row: "C06", file: "load.go", in: "New", old: `if err := prove(signer, cert); err != nil {`, test: "TestC06_PairIsJudgedAtLoad"},
		guard{row: "C06", file: "load.go", in: "New", old: `if n := pub.N.BitLen(); n < minBits || n > maxBits {`, test: "TestC06_PairIsJudgedAtLoad"},
		guard{row: "C06", file: "load.go", in: "New", old: `if now.After(cert.NotAfter) {`, test: "TestC06_PairIsJudgedAtLoad"},
		guard{row: "C06", file: "load.go", in: "New", old: `if now.Before(cert.NotBefore) {`, test: "TestC06_PairIsJudgedAtLoad"},
		guard{row: "C06", file: "load.go", in: "New", old: `if left := cert.NotAfter.Sub(now); left < renewBefore {`, test: "TestC06_PairIsJudgedAtLoad"},
		guard{row: "C06", file: "load.go", in: "prove", old: `if err := rsa.VerifyPKCS1v15(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], sig); err != nil {`, test: "TestC06_MatchIsProvedByASignature"},
		guard{row: "C06", file: "promote.go", in: "Hand.mayPromote", old: `case v.Now.After(cert.NotAfter):`, test: "TestC06_ExpiredKeyIsNotPromotedEvenByForce"},
		guard{row: "C06", file: "promote.go", in: "Hand.mayPromote", old: `case v.Now.Before(cert.NotBefore):`, test: "TestC06_ExpiredKeyIsNotPromotedEvenByForce"},
		guard{row: "C07", file: "apply.go", in: "Manager.holding", old: `return m.cfg.Steady() < m.hold`, new: `return false`, test: "TestC07_ClockThatJumpsMovesNobody"},
		guard{row: "C07", file: "apply.go", in: "Manager.watchClock", old: `if moved.Abs() > jump {`, new: `if moved > jump {`, test: "TestC07_ClockThatGoesBackIsNoticedAndUndoesNothing"},
		guard{row: "C04", file: "../cmd/internal/app/signing.go", in: "App.serveMetadata", old: ` &&
		a.readsAs(party, web.From(r.Context()).Client)`, new: ` &&
		(a.readsAs(party, web.From(r.Context()).Client) || true)`, pkg: "cmd/internal/app", test: "TestC04_APartyHasReadTheMetadataByItsOwnAddressAlone"},
		guard{row: "C04", file: "apply.go", in: "Manager.tend", old: `e.State.Listed() && ids[e.ID] {`, new: `e.State.Listed() && len(ids) > 0 {`, pkg: "cmd/internal/app", test: "TestC04_APartyHasReadTheMetadataByItsOwnAddressAlone"},
		guard{row: "C07", file: "apply.go", in: "Manager.tend", old: `passed := m.cfg.Steady() - m.tickAt`, new: `passed := m.cfg.Now().Sub(m.tick)`, test: "TestC07_ClockThatJumpsMovesNobody"},
	), of("cmd/internal/auditlog",
		guard{row: "C02", file: "log.go", in: "Log.Record", old: `if !l.cfg.Required {`, new: `if true {`, test: "TestC02_RequiredTrailThatIsDeadRefuses"},
		guard{row: "C02", file: "log.go", in: "Log.demand", old: `if b.err == nil {`, new: `if b.err == nil || i >= 0 {`, test: "TestC02_RequiredTrailThatIsDeadRefuses"},
		guard{row: "C02", file: "file.go", in: "File.store", old: `if err != nil {`, test: "TestC02_FullDisk"},
		guard{row: "C02", file: "chain.go", in: "chain.append", old: `h.hash = c.sum(buf[start:])`, new: `_ = start`, test: "TestC02_TamperingBreaksTheChain"},
		guard{row: "C02", file: "../../../federation/signin/answer.go", in: "Flow.issue", old: `err = f.cfg.Audit.Record(ctx, e)
	done()
	if err != nil {`, new: `_ = f.cfg.Audit.Record(ctx, e)
	done()
	if err != nil {`, pkg: "cmd/internal/app", test: "TestC02_WithoutARecordNoTokenLeaves"},
		guard{row: "C02", file: "../../../federation/signin/answer.go", in: "Flow.issue", old: `err = f.cfg.Audit.Record(ctx, e)
	done()
	if err != nil {`, new: `_ = f.cfg.Audit.Record(ctx, e)
	done()
	if err != nil {`, test: "TestC02_NoTokenLeavesForABrowserThatHasGone"},
		guard{row: "C02", file: "../../../authn/password/record.go", in: "Pipeline.record", old: `if r.Reason == authn.Accepted {`, test: "TestC02_UnrecordedAcceptanceIsAFailure"},
	), of("cmd/internal/config",
		guard{row: "O02", file: "decode.go", in: "decoder.structure", old: `d.here(key, full, "%s", unknown(v.Type(), path, key.Value))`, new: `_ = full`, test: "TestO02_MutatedFieldIsRefusedOrHasItsEffect"},
		guard{row: "O02", file: "decode.go", in: "decoder.sequence", old: `if len(n.Content) == 0 {`, test: "TestO02_MutatedFieldIsRefusedOrHasItsEffect"},
		guard{row: "O02", file: "decode.go", in: "decoder.each", old: `if before, ok := first[key.Value]; ok {`, test: "TestO02_MutatedFieldIsRefusedOrHasItsEffect"},
		guard{row: "O02", file: "decode.go", in: "decoder.structure", old: `d.here(key, full, "%s", unknown(v.Type(), path, key.Value))`, new: `_ = full`, test: "TestO02_EachMutatedFieldIsRefusedByItself"},
		guard{row: "O02", file: "../app/reload.go", in: "App.reload", old: `return fmt.Errorf("public_url cannot change while the service runs: restart it")`, new: `a.log.Warn("public_url")`, test: "TestO02_ARefusedReloadChangesNothing"},
		guard{row: "O02", file: "../app/reload.go", in: "App.reload", old: `if err := a.reopenAudit(); err != nil {`, test: "TestO02_ARefusedReloadChangesNothing"},
		guard{row: "O02", file: "decode.go", in: "decoder.structure", old: `d.here(key, full, "%s", unknown(v.Type(), path, key.Value))`, new: `_ = full`, pkg: "cmd/internal/app", test: "TestO02_ABrokenSettingsFileLeavesTheOldSettingsInForce"},
	))
}
