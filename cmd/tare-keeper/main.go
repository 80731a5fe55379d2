// Tare-keeper looks after one container: its streams, its log, its clients
// and its end. It is executed by the process that started the container, and
// ends with it; nobody runs it by hand.
package main

import (
	"os"

	"github.com/tare-engine/tare/internal/keeper"
)

func main() { os.Exit(keeper.Main(os.Args[1:])) }
