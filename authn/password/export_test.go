package password

import "time"

// For tests of the parts.
var (
	CheckPassword = checkPassword
	CheckName     = checkName
)

// Slot is the schedule's first instant that is not before elapsed.
func Slot(elapsed, floor, step time.Duration) time.Duration {
	return Schedule{floor, step}.slot(elapsed)
}
