package app

import (
	"testing"

	"sallyport/authn/lockout"
	"sallyport/cmd/internal/config"
)

func TestL01_InstancesShareTheThreshold(t *testing.T) {
	cfg := config.Default()
	policy := &lockout.Policy{Threshold: 10}
	alone := LockoutConfig(cfg).LimitsFor(policy)
	cfg.Lockout.Instances = 3
	each := LockoutConfig(cfg).LimitsFor(policy)
	if all := 3 * (each.Threshold + each.Familiar); each.Threshold >= alone.Threshold || all >= policy.Threshold {
		t.Errorf("each of three instances allows %+v: together %d of the directory's %d", each, all, policy.Threshold)
	}
}
