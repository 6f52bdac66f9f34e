package forecast

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
