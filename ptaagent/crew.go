package ptaagent

import (
	"context"
	"time"
)

// crewIdle is how long a goroutine waits for its next task.
const crewIdle = 10 * time.Second

// crew runs tasks on goroutines that stay for a while: the stack of a new one would be
// copied several times on its way to the directory and back. It is safe for concurrent
// use.
type crew chan func()

// do runs a task beside all others. Who waits for tasks goes when ctx ends.
func (c crew) do(ctx context.Context, task func()) {
	select {
	case c <- task: // somebody waits for it
	default:
		go c.member(ctx, task)
	}
}

func (c crew) member(ctx context.Context, task func()) {
	idle := time.NewTimer(crewIdle)
	defer idle.Stop()
	for {
		task()
		idle.Reset(crewIdle)
		select {
		case task = <-c:
		case <-idle.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
