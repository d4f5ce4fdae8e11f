package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"sallyport/authn/seal"
)

var purposes = []string{
	seal.PurposeSession, seal.PurposeParties, seal.PurposeOnce, seal.PurposeTransaction,
	seal.PurposeCookie, seal.PurposeSigningKey, seal.PurposeAudit,
}

func newBox(t testing.TB, purpose string, masters ...[]byte) *seal.Box {
	t.Helper()
	b, err := seal.New(purpose, masters...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealedValueOpensToWhatWasSealed(t *testing.T) {
	b := newBox(t, seal.PurposeSession, seal.NewMaster())
	for _, plain := range [][]byte{nil, {0}, []byte("record"), bytes.Repeat([]byte{7}, 5000)} {
		sealed := b.Seal([]byte("prefix"), plain, []byte("place"))
		if len(sealed) != len("prefix")+len(plain)+seal.Overhead {
			t.Errorf("sealed length %d for %d bytes", len(sealed), len(plain))
		}
		got, err := b.Open(nil, sealed[len("prefix"):], []byte("place"))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("open = %x, %v; want %x", got, err, plain)
		}
	}
}

func TestSealedFormsNeverRepeat(t *testing.T) {
	b := newBox(t, seal.PurposeSession, seal.NewMaster())
	if bytes.Equal(b.Seal(nil, []byte("x"), nil), b.Seal(nil, []byte("x"), nil)) {
		t.Error("two seals of one value are equal: the nonce is not random")
	}
}

func TestSealSameRepeatsOnlyForTheSameValueAndPlace(t *testing.T) {
	master := seal.NewMaster()
	b := newBox(t, seal.PurposeParties, master)
	one := b.SealSame(nil, []byte("party"), []byte("place"))
	if !bytes.Equal(one, newBox(t, seal.PurposeParties, master).SealSame(nil, []byte("party"), []byte("place"))) {
		t.Error("not the same on another instance")
	}
	for _, other := range [][]byte{
		b.SealSame(nil, []byte("party"), []byte("place2")),
		b.SealSame(nil, []byte("partz"), []byte("place")),
		b.SealSame(nil, []byte("eparty"), []byte("plac")),
	} {
		if bytes.Equal(one[:13], other[:13]) {
			t.Error("nonce repeated for another value or place")
		}
	}
	got, err := b.OpenSame(nil, one, []byte("place"))
	if err != nil || string(got) != "party" {
		t.Errorf("OpenSame = %q, %v", got, err)
	}
	if _, err := b.OpenSame(nil, one, []byte("place2")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("opened in another place: %v", err)
	}
	if _, err := b.Open(nil, one, []byte("place")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("Open accepted a value of SealSame: %v", err)
	}
}

// TestR01_ChangedOrMovedValueDoesNotOpen flips every bit, cuts every length and
// moves the value to another place.
func TestR01_ChangedOrMovedValueDoesNotOpen(t *testing.T) {
	b := newBox(t, seal.PurposeSession, seal.NewMaster())
	sealed := b.Seal(nil, []byte("record"), []byte("place"))
	if _, err := b.Open(nil, sealed, []byte("place")); err != nil {
		t.Fatal(err)
	}
	for i := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := b.Open(nil, bad, []byte("place")); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("bit %d flipped: %v", i, err)
		}
	}
	for n := range len(sealed) {
		if _, err := b.Open(nil, sealed[:n], []byte("place")); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	for _, aad := range []string{"", "plac", "place ", "other"} {
		if _, err := b.Open(nil, sealed, []byte(aad)); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("opened in place %q: %v", aad, err)
		}
	}
}

// TestC11_PurposesHaveSeparateKeys seals under each purpose and opens under each
// other one, and compares the derived keys.
func TestC11_PurposesHaveSeparateKeys(t *testing.T) {
	master := seal.NewMaster()
	seen := map[string]string{}
	for _, p := range purposes {
		k, err := seal.Key(p, master)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(k, master) {
			t.Errorf("%s: the derived key is the master itself", p)
		}
		if other, dup := seen[string(k)]; dup {
			t.Errorf("%q and %q have the same key", p, other)
		}
		seen[string(k)] = p
		sealed := newBox(t, p, master).Seal(nil, []byte("v"), nil)
		same := newBox(t, p, master).SealSame(nil, []byte("v"), nil)
		for _, q := range purposes {
			_, err := newBox(t, q, master).Open(nil, sealed, nil)
			_, errSame := newBox(t, q, master).OpenSame(nil, same, nil)
			if (err == nil) != (p == q) || (errSame == nil) != (p == q) {
				t.Errorf("sealed for %q, opened for %q: %v, %v", p, q, err, errSame)
			}
		}
	}
}

func TestMasterCanBeRotated(t *testing.T) {
	older, newer := seal.NewMaster(), seal.NewMaster()
	before := newBox(t, seal.PurposeSession, older)
	between := newBox(t, seal.PurposeSession, older, newer)
	after := newBox(t, seal.PurposeSession, newer, older)
	done := newBox(t, seal.PurposeSession, newer)
	opens := func(b *seal.Box, sealed []byte) bool {
		_, err := b.Open(nil, sealed, nil)
		return err == nil
	}
	fromOld, fromNew := between.Seal(nil, []byte("v"), nil), after.Seal(nil, []byte("v"), nil)
	got := fmt.Sprint(opens(before, fromOld), opens(between, fromNew), opens(after, fromOld), opens(done, fromNew), opens(done, fromOld))
	if want := "true true true true false"; got != want {
		t.Errorf("opens = %s, want %s", got, want)
	}
}

func TestBadMasterIsRefused(t *testing.T) {
	for _, m := range [][]byte{nil, {}, make([]byte, 31), make([]byte, 33), make([]byte, 32)} {
		if _, err := seal.New(seal.PurposeSession, m); !errors.Is(err, seal.ErrMaster) {
			t.Errorf("master %x: %v", m, err)
		}
	}
	if _, err := seal.New(seal.PurposeSession); !errors.Is(err, seal.ErrMaster) {
		t.Errorf("no master: %v", err)
	}
	if _, err := seal.New("", seal.NewMaster()); err == nil {
		t.Error("no purpose accepted")
	}
}

func FuzzOpen(f *testing.F) {
	b := newBox(f, seal.PurposeSession, seal.NewMaster())
	f.Add(b.Seal(nil, []byte("record"), []byte("place"))[1:])
	f.Add([]byte{1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := b.Open(nil, in, []byte("another place")); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("opened %x: %v", in, err)
		}
		if _, err := b.OpenSame(nil, in, []byte("another place")); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("opened %x: %v", in, err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	box := newBox(b, seal.PurposeSession, seal.NewMaster())
	plain, aad, dst := make([]byte, 128), make([]byte, 40), make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = box.Seal(dst[:0], plain, aad)
	}
}

func BenchmarkOpen(b *testing.B) {
	box := newBox(b, seal.PurposeSession, seal.NewMaster())
	aad, dst := make([]byte, 40), make([]byte, 0, 256)
	sealed := box.Seal(nil, make([]byte, 128), aad)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := box.Open(dst[:0], sealed, aad); err != nil {
			b.Fatal(err)
		}
	}
}
