package codec

// The tables of ITU-T G.722. What a step is multiplied by is in 1/32768.

// halfFilter is every other one of the mirror filter's 24 coefficients, times
// 8192. They are symmetrical: backwards it is the other half.
var halfFilter = [12]int{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}

// lowDecisions are where the intervals of the lower band end, in 1/4096 of the
// step (Q6).
var lowDecisions = [29]int{35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
	1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919}

// fineLevels are what the 6 bits of the lower band stand for (QQ6); the first
// four are never sent.
var fineLevels = [64]int{-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
	-9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360,
	-1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
	4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136}

// coarseLevels are what their upper 4 bits stand for (QQ4).
var coarseLevels = [16]int{0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0}

// highLevels are what the 2 bits of the upper band stand for (QQ2).
var highLevels = [4]int{-7408, -1616, 7408, 1616}

// lowGains are what a code of 4 bits does to the logarithm of the step (WL by
// RL42), highGains what one of the upper band does (WH by RH2): of the large
// codes, and of the small.
var (
	lowGains  = [16]int{-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60}
	highGains = [2]int{798, -214}
)

// exponentials are 2048 times 2 to the i/32 (ILB).
var exponentials = [32]int{2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
	2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008}
