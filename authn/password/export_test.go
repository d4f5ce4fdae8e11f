package password

// For tests of the parts.
var (
	Slot          = slot
	CheckPassword = checkPassword
	CheckName     = checkName
)
