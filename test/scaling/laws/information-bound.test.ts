import { informationBound } from '../../../scaling/laws/information-bound.ts';
import { describeLossLaw } from '../../cases/loss-law.case.ts';

describeLossLaw(informationBound, { ...informationBound.constants[0]?.values });
