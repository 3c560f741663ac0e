package main

import (
	"context"
	"io"
)

func demoCommand(ctx context.Context, args []string, out, errs io.Writer) int { return exitOK }
