package plan

func (p *Plan) FormatOp(op *Op) string { return "" }
