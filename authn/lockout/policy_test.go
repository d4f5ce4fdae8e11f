package lockout_test

import (
	"testing"
	"time"

	"sallyport/authn/lockout"
)

func TestLimitsFollowFromThePolicy(t *testing.T) {
	half := 30 * time.Minute
	ad := func(n int) *lockout.Policy { return &lockout.Policy{Threshold: n, Window: half} }
	tests := []struct {
		name   string
		cfg    lockout.Config
		policy *lockout.Policy
		want   lockout.Limits
	}{
		{"AD off", lockout.Config{}, ad(0), lockout.Limits{Threshold: 10, Familiar: 10, Window: half}},
		{"AD 1", lockout.Config{}, ad(1), lockout.Limits{Threshold: 1, Familiar: 0, Window: half}},
		{"AD 2", lockout.Config{}, ad(2), lockout.Limits{Threshold: 1, Familiar: 0, Window: half}},
		{"AD 3", lockout.Config{}, ad(3), lockout.Limits{Threshold: 1, Familiar: 1, Window: half}},
		{"AD 4", lockout.Config{}, ad(4), lockout.Limits{Threshold: 2, Familiar: 1, Window: half}},
		{"AD 5", lockout.Config{}, ad(5), lockout.Limits{Threshold: 2, Familiar: 2, Window: half}},
		{"AD 10", lockout.Config{}, ad(10), lockout.Limits{Threshold: 5, Familiar: 4, Window: half}},
		{"AD 50", lockout.Config{}, ad(50), lockout.Limits{Threshold: 25, Familiar: 24, Window: half}},
		{"AD's longer window", lockout.Config{}, &lockout.Policy{Threshold: 10, Window: time.Hour}, lockout.Limits{Threshold: 5, Familiar: 4, Window: time.Hour}},
		{"AD's shorter window", lockout.Config{}, &lockout.Policy{Threshold: 10, Window: time.Minute}, lockout.Limits{Threshold: 5, Familiar: 4, Window: half}},
		{"not readable", lockout.Config{}, nil, lockout.Limits{Threshold: 3, Familiar: 0, Window: half}},
		{"not readable, lowest stated", lockout.Config{LowestPolicy: 8}, nil, lockout.Limits{Threshold: 4, Familiar: 3, Window: half}},
		{"a PSO below the domain", lockout.Config{LowestPolicy: 4}, ad(10), lockout.Limits{Threshold: 2, Familiar: 1, Window: half}},
		{"a PSO although the domain is off", lockout.Config{LowestPolicy: 4}, ad(0), lockout.Limits{Threshold: 2, Familiar: 1, Window: half}},
		{"set by hand", lockout.Config{Threshold: 7}, ad(10), lockout.Limits{Threshold: 7, Familiar: 2, Window: half}},
		{"set by hand, no room", lockout.Config{Threshold: 9}, ad(10), lockout.Limits{Threshold: 9, Familiar: 0, Window: half}},
		{"set by hand, not below AD", lockout.Config{Threshold: 10}, ad(10), lockout.Limits{Threshold: 5, Familiar: 4, Window: half}},
		{"set by hand, not below a PSO", lockout.Config{Threshold: 8, LowestPolicy: 4}, ad(10), lockout.Limits{Threshold: 2, Familiar: 1, Window: half}},
		{"set by hand, not below AD on purpose", lockout.Config{Threshold: 10, Unsafe: true}, ad(10), lockout.Limits{Threshold: 10, Familiar: 0, Window: half}},
		{"two instances", lockout.Config{Instances: 2}, ad(10), lockout.Limits{Threshold: 2, Familiar: 2, Window: half}},
		{"more instances than tries", lockout.Config{Instances: 9}, ad(10), lockout.Limits{Threshold: 1, Familiar: 0, Window: half}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.cfg.LimitsFor(tt.policy); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestSettingsAreComparedWithThePolicy(t *testing.T) {
	ad := func(n int) *lockout.Policy { return &lockout.Policy{Threshold: n, Window: time.Minute} }
	tests := []struct {
		name          string
		cfg           lockout.Config
		policy        *lockout.Policy
		advice, fails bool
	}{
		{"derived", lockout.Config{}, ad(10), false, false},
		{"below", lockout.Config{Threshold: 9}, ad(10), false, false},
		{"not below", lockout.Config{Threshold: 10}, ad(10), false, true},
		{"not below a PSO", lockout.Config{Threshold: 5, LowestPolicy: 5}, ad(10), false, true},
		{"not below, on purpose", lockout.Config{Threshold: 10, Unsafe: true}, ad(10), false, false},
		{"AD off", lockout.Config{Threshold: 100}, ad(0), false, false},
		{"AD 1", lockout.Config{}, ad(1), true, false},
		{"AD 2", lockout.Config{}, ad(2), true, false},
		{"not readable", lockout.Config{}, nil, true, false},
		{"not readable, stated", lockout.Config{LowestPolicy: 5}, nil, true, false},
		{"too many instances", lockout.Config{Instances: 10}, ad(10), true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			advice, err := tt.cfg.Check(corp, tt.policy)
			if (advice != "") != tt.advice || (err != nil) != tt.fails {
				t.Errorf("advice %q, error %v", advice, err)
			}
		})
	}
}
