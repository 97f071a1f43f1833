package roomsim

// Bug is a known bug, in what drives the cores. Bugs in the cores themselves are in mutants_test.go.
type Bug string

// The bugs that the checks must find.
const (
	NoBug             Bug = ""
	DeliverBeforeLog  Bug = "deliver before the log"
	NoFence           Bug = "append without looking at the epoch"
	NoDedupe          Bug = "forget on takeover what was said"
	ForgetUnanswered  Bug = "forget what was not answered"
	IgnoreSeen        Bug = "send a gateway everything again"
	AcceptOldEpoch    Bug = "believe a relay with an older epoch"
	NoRelog           Bug = "do not log again what the store forgot"
	LoseTail          Bug = "take a room without its log"
	AckBeforeLog      Bug = "answer before the log"
	ReleaseBeforeLog  Bug = "give a room away before its log is written"
	KeepAfterFence    Bug = "go on after being fenced"
	SeqFromZero       Bug = "number from the start after a fail-over"
	RepeatOutOfOrder  Bug = "repeat the newest first"
	DropResumeReplay  Bug = "resume without what was missed"
	ForgetBehind      Bug = "forget who has not yet had all that it missed"
	StealFromTheAlive Bug = "take rooms from relays that answer, and let both write"
	WhisperToAll      Bug = "tell all what is whispered"
	WhisperToOther    Bug = "whisper to the wrong member"
	HoldNeverEnds     Bug = "keep members for ever whose connection is lost"
	HoldEndsAtOnce    Bug = "let members go at once whose connection is lost"
	LeaveBeforeLog    Bug = "answer a leave before the log"
	ReclaimUnfenced   Bug = "claim again whoever owns the room"
	KeyByConnection   Bug = "tell repeats by the connection"
	GapNotTold        Bug = "do not tell of a gap"
	KeepReplaced      Bug = "do not tell a connection that another took its place"
	StaleDetach       Bug = "put the successor of a lost connection on hold"
	TrustFailedWrite  Bug = "take a write that failed for done"
	IgnoreFailOver    Bug = "do not notice that the store forgot"
	EpochAgain        Bug = "count epochs by a clock that stands still"
	TakeUntold        Bug = "take a room before others have told again of theirs"
	ForgetSteps       Bug = "do not repeat the newest steps"
	ForgetAskedSteps  Bug = "do not keep a step that is to be answered"
	RepeatFirstStep   Bug = "repeat the first step of each, not the newest"
	ForgetPlaces      Bug = "do not say where members were"
	StepsLast         Bug = "play the steps of a message after its inputs"
	SilentPutBack     Bug = "put back without a word"
)

// Bugs are all of them.
var Bugs = []Bug{
	DeliverBeforeLog, NoFence, NoDedupe, ForgetUnanswered, IgnoreSeen, AcceptOldEpoch, NoRelog, LoseTail, AckBeforeLog,
	ReleaseBeforeLog, KeepAfterFence, SeqFromZero, RepeatOutOfOrder, DropResumeReplay, ForgetBehind, StealFromTheAlive,
	WhisperToAll, WhisperToOther, HoldNeverEnds, HoldEndsAtOnce, LeaveBeforeLog, ReclaimUnfenced, KeyByConnection,
	GapNotTold, KeepReplaced, StaleDetach, TrustFailedWrite, IgnoreFailOver, EpochAgain,
	TakeUntold, ForgetSteps, ForgetAskedSteps, RepeatFirstStep, ForgetPlaces, StepsLast, SilentPutBack,
}
