package seccomp

// nameOf returns the name of a call number on an architecture, or "".
func nameOf(c column, nr uint32) string {
	if c == colX32 {
		nr &^= x32Bit
	}
	if nr >= privateBase && nr < privateBase+slots-privateSlot {
		nr -= privateBase - privateSlot
	} else if nr >= privateSlot {
		return ""
	}
	for i := range callSlots {
		if uint32(callSlots[i][c]) == nr {
			return callName(i)
		}
	}
	return ""
}

// slotNumber undoes the folding of a slot; x32's numbers get their bit.
func slotNumber(c column, slot int) uint32 {
	switch {
	case c == colX32:
		return uint32(slot) | x32Bit
	case slot >= privateSlot:
		return uint32(slot-privateSlot) + privateBase
	}
	return uint32(slot)
}
