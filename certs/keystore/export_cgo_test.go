//go:build pkcs11

package keystore

import "time"

// SetTimes makes a module wait for less long.
func (m *Module) SetTimes(limit, pause time.Duration) { m.limit, m.pause = limit, pause }

// ModuleQueue is how many at once wait for a module.
const ModuleQueue = moduleQueue
