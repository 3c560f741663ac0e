package consent

// Why a recording ends, in the words that CloseTap and Discard have for it and that
// are kept with the recording: who looks for recordings finds them by these.
const (
	EndHangUp    = "hang-up"
	EndWithdrawn = string(Withdrawn)
	EndChanged   = "party changed" // somebody new is on the line
	EndUnbegun   = "the recording had not begun when it had to end"
	EndFailed    = "recorder failed" // what failed follows a colon
)
