// Original file: protos/espalier/v1/worker.proto


export interface NextRefit {
  'layer'?: (number);
  'subLayer'?: (string);
  'part'?: (string);
  'mean'?: (number | string);
}

export interface NextRefit__Output {
  'layer': (number);
  'subLayer': (string);
  'part': (string);
  'mean': (number);
}
