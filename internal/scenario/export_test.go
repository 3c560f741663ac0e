package scenario

import "time"

func init() { stepTime = 3 * time.Second }
